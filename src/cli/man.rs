//! `pinfold man`: the manual pages, from the same words as `--help`.

use std::path::Path;

use clap::CommandFactory as _;

use super::arguments::Arguments;
use super::exit::Exit;
use super::screen;

pub(super) fn run(dir: &Path) -> Exit {
    let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Arguments::command(), dir));
    match written {
        Ok(()) => Exit::Success,
        Err(error) => {
            screen::error(&error, Some("name a directory that you may write to"));
            Exit::Trouble
        }
    }
}

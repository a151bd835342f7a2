//! `pinfold fmt`: profiles in their one form.

use crate::profile::emit;
use crate::run::profile_file::{self, ProfileFile};

use super::arguments::FmtArguments;
use super::exit::Exit;
use super::{hints, screen, show};

pub(super) fn run(arguments: &FmtArguments) -> Exit {
    let mut exit = Exit::Success;
    for given in &arguments.profiles {
        let file = match show::open(given) {
            Ok(file) => file,
            Err(_) => {
                exit = Exit::Trouble;
                continue;
            }
        };
        if emit::emit(&file.profile, Some(&file.text)) == file.text {
            continue;
        }
        let listed = screen::data(&format!("{}\n", file.path.display())).is_ok();
        let done = if arguments.check { Exit::Differs } else { write(&file) };
        exit = match (listed, exit, done) {
            (false, ..) | (_, Exit::Trouble, _) | (_, _, Exit::Trouble) => Exit::Trouble,
            (_, before, Exit::Success) => before,
            (_, _, done) => done,
        };
    }
    exit
}

fn write(file: &ProfileFile) -> Exit {
    match profile_file::save(&file.path, &file.profile, Some(file)) {
        Ok(_) => Exit::Success,
        Err(error) => {
            screen::error(&error, hints::profile_file(&error).as_deref());
            Exit::Trouble
        }
    }
}

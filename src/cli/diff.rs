//! `pinfold diff`: what the second profile allows that the first does not.

use crate::diff::render::json;
use crate::diff::render::terminal::{self, Look, Style};
use crate::diff::{self, Context, Difference};

use super::arguments::DiffArguments;
use super::exit::Exit;
use super::screen::{self, Colour, Stream};
use super::show;

pub(super) fn run(arguments: &DiffArguments) -> Exit {
    let (old, new) = match (show::open(&arguments.old), show::open(&arguments.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let difference = diff::compare(&old.profile, &new.profile, &Context::default());
    let text = if arguments.json { json::text(&difference) } else { text(&difference, Stream::Output) };
    match screen::data(&text) {
        Ok(()) if difference.widens() => Exit::Differs,
        Ok(()) => Exit::Success,
        Err(_) => Exit::Trouble,
    }
}

/// For a person, on `stream`.
pub(super) fn text(difference: &Difference, stream: Stream) -> String {
    let paint = |text: &str, look| {
        let colour = match look {
            Look::Danger => Colour::Red,
            Look::Caution => Colour::Yellow,
            Look::Calm => Colour::Green,
            Look::Faint => Colour::Faint,
            Look::Heading => Colour::Bold,
        };
        screen::paint_for(stream, text, colour)
    };
    terminal::text(difference, &Style { width: stream.width(), paint: &paint })
}

//! A step of a plan → why it is there: the profile line that asks for it, or what every run has it for.
//!
//! It says what `plan::mounts` did, after the fact, from the same profile and the same roots; it decides nothing.

use crate::profile::Profile;
use crate::vocab::access::Access;
use crate::vocab::escape;
use crate::vocab::location::{Location, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::covering;

use super::MountStep;

/// Why `step` is in the plan of a run under `profile`.
pub fn why(step: &MountStep, profile: &Profile, roots: &Roots) -> String {
    let asked = |target: &AbsPath, least: Access| line(target, least, profile, roots);
    match step {
        MountStep::Bind { target, .. } | MountStep::Copy { target } => asked(target, Access::Exist)
            .unwrap_or_else(|| "what a granted place really is, where a symlink leads to it".to_owned()),
        MountStep::Placeholder { target, .. } | MountStep::Directory { target, .. } => asked(target, Access::Exist)
            .unwrap_or_else(|| "the home or the working directory, which must exist".to_owned()),
        MountStep::Symlink { target, .. } => {
            asked(target, Access::Exist).unwrap_or_else(|| "a symlink on the way to a granted place".to_owned())
        }
        MountStep::Tmpfs { target, .. } => {
            let replaced = beneath(target, profile, roots);
            replaced.unwrap_or_else(|| "temporary files: nobody else sees them, and they go with the run".to_owned())
        }
        MountStep::Filtered { names, .. } => {
            let names: Vec<_> = names.iter().map(|name| escape::terminal(name)).collect();
            format!("replaced in place: {}; no other name of the directory is inside", names.join(", "))
        }
        MountStep::Guard { target } => {
            let row = covering(target, roots).into_iter().next();
            let what = row.map_or("your machine runs or obeys it outside the sandbox", |row| row.why);
            format!("stays as it is: {what}")
        }
        MountStep::Pin { .. } => "what is mounted beneath cannot be renamed away".to_owned(),
        MountStep::Cover { target } => match asked(target, Access::Exist) {
            Some(line) => format!("withheld: {line}"),
            None => "pinfold's own state".to_owned(),
        },
        MountStep::Seal { .. } => "nothing can be added".to_owned(),
        MountStep::Proc => "the processes of the run, and no others".to_owned(),
        MountStep::Dev => "the devices that every program may have".to_owned(),
        MountStep::Secrets => "[secrets] with `to = \"file\"`".to_owned(),
        MountStep::Secret { name, .. } => format!("[secrets] {}", crate::profile::emit::quote(name)),
        MountStep::Text { .. } => "how names are looked up inside: [network]".to_owned(),
        MountStep::AsOwn { .. } => {
            "programs insist that it is root's or the user's own, and root is nobody inside".to_owned()
        }
        MountStep::Queues => "[syscalls] allow = \"mq_open\"".to_owned(),
    }
}

/// The line for `target`, or for the nearest directory above it.
fn line(target: &AbsPath, least: Access, profile: &Profile, roots: &Roots) -> Option<String> {
    let granted = profile.filesystem.iter().filter(|(_, grant)| grant.access >= least);
    let above = granted.filter_map(|(location, grant)| {
        let places: Vec<AbsPath> = match location {
            Location::Bundle(name) => profile
                .bundles
                .get(name)
                .into_iter()
                .flat_map(|bundle| &bundle.opens)
                .filter_map(|opening| roots.resolve(&opening.place))
                .collect(),
            Location::Path { .. } => roots.resolve(location).into_iter().collect(),
        };
        let nearest =
            places.into_iter().filter(|path| target.is_beneath(path)).map(|path| path.components().count()).max();
        nearest.map(|depth| (depth, location, grant))
    });
    let (_, location, grant) = above.max_by_key(|(depth, ..)| *depth)?;
    Some(format!("\"{location}\" = \"{}\"", grant.access))
}

/// The first replace grant whose file lies in `directory`.
fn beneath(directory: &AbsPath, profile: &Profile, roots: &Roots) -> Option<String> {
    let mut replaced = profile.filesystem.iter().filter(|(_, grant)| grant.access == Access::Replace);
    let (location, _) = replaced.find(|(location, _)| {
        roots.resolve(location).and_then(|path| path.parent()).is_some_and(|parent| parent == *directory)
    })?;
    Some(format!("room for rewriting \"{location}\", which is copied in and back"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::mounts::tests::empty;
    use crate::profile::PathGrant;
    use crate::vocab::location::Base;

    #[test]
    fn a_mount_is_explained_by_the_nearest_line_above_it() {
        let roots = Roots(std::collections::BTreeMap::from([(Base::Home, AbsPath::new("/home/a").unwrap())]));
        let mut profile = empty();
        for (place, access) in [("/usr", Access::Read), ("~/.x", Access::Write)] {
            let grant = PathGrant { access, sensitive: None, approved: true, reason: None };
            profile.filesystem.insert(place.parse().unwrap(), grant);
        }
        let target = AbsPath::new("/home/a/.x/y").unwrap();
        let step = MountStep::Bind { source: target.clone(), target, writable: true };
        assert_eq!(why(&step, &profile, &roots), "\"~/.x\" = \"write\"");
    }
}

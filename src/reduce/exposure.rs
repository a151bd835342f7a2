//! A directory → what it costs to open it: how much lies there that no run used, weighed by whose it is.
//!
//! Counted is what the census of the runs tells. Of directories of the system there is no census, since nobody reviews the
//! insides of a distribution: for those stands what such a directory usually holds, so that a profile does not depend on
//! which packages happen to be installed. Weights are thousandths of the cost of a line; see `docs/reduction.md`.

use std::collections::BTreeMap;

use crate::event::{Census, Owner};
use crate::vocab::access::Access;
use crate::vocab::location::{Base, Location};

/// What is known of the directories of all runs, by location.
#[derive(Debug, Default)]
pub(super) struct Exposure {
    counted: BTreeMap<Base, BTreeMap<Vec<u8>, Counted>>,
}

/// The census of one directory, joined over runs: what was there at any time counts, and whoever trusts it less.
#[derive(Debug, Clone, Copy)]
struct Counted {
    entries: u64,
    owner: Owner,
    world_readable: bool,
    is_cache: bool,
}

/// Entries of a directory of which nothing is known.
const UNKNOWN: u64 = 40;
/// More than all lines together: what costs so much is chosen only where a need leaves nothing else.
const FORBIDDEN: u64 = 1 << 40;

impl Exposure {
    pub(super) fn add(&mut self, dir: Location, census: &Census) {
        let entries = if census.capped { u64::from(census.entries) * 4 } else { u64::from(census.entries) };
        let is_cache = census.markers.contains("CACHEDIR.TAG");
        let fresh = Counted { entries, owner: census.owner, world_readable: census.world_readable, is_cache };
        let Location::Path { base, rest } = dir else { return };
        self.counted
            .entry(base)
            .or_default()
            .entry(rest)
            .and_modify(|known| {
                known.entries = known.entries.max(entries);
                known.owner = known.owner.max(census.owner);
                known.world_readable &= census.world_readable;
                known.is_cache |= is_cache;
            })
            .or_insert(fresh);
    }

    /// What opening `dir` itself costs beyond the `used` entries in it, its subdirectories not counted. `known` of its entries
    /// the runs came by.
    pub(super) fn cost(&self, dir: (Base, &[u8]), known: u64, used: u64, access: Access) -> u64 {
        let counted = self.counted.get(&dir.0).and_then(|counted| counted.get(dir.1));
        let entries = match counted {
            Some(counted) => counted.entries,
            // What was neither counted nor gone through is a file.
            None if known == 0 => 0,
            None => usual(dir),
        };
        entries.saturating_sub(used).saturating_mul(weight(dir, counted, access)).min(FORBIDDEN)
    }
}

/// What such a directory of the system usually holds, with all beneath.
fn usual(dir: (Base, &[u8])) -> u64 {
    let (Base::Root, rest) = dir else { return UNKNOWN };
    match rest {
        b"usr/share" => 100_000,
        b"usr/lib" | b"lib" | b"usr/lib64" => 30_000,
        b"usr/local" | b"usr/share/doc" | b"usr/share/man" => 10_000,
        b"usr/bin" | b"usr/include" | b"usr/local/lib" | b"usr/src" | b"var/lib" => 4_000,
        b"etc" => 1_500,
        _ => UNKNOWN,
    }
}

/// What one entry weighs, in thousandths of a line.
fn weight((base, rest): (Base, &[u8]), counted: Option<&Counted>, access: Access) -> u64 {
    let writes = access.writes();
    // Whoever opens a directory that its owner keeps to himself opens what nobody was to see.
    let private = counted.is_some_and(|counted| counted.owner != Owner::Caller && !counted.world_readable);
    if private {
        return 50_000;
    }
    if counted.is_some_and(|counted| counted.is_cache) {
        return if writes { 500 } else { 5 };
    }
    let top = |names: &[&[u8]]| {
        let first = rest.split(|&byte| byte == b'/').next().unwrap_or_default();
        names.contains(&first)
    };
    match base {
        Base::Project => {
            if writes {
                20
            } else {
                5
            }
        }
        Base::Root if top(&[b"usr", b"bin", b"sbin", b"lib", b"lib64", b"opt", b"nix", b"snap", b"sys"]) => {
            if writes {
                FORBIDDEN
            } else {
                2
            }
        }
        Base::Root if top(&[b"etc"]) => {
            if writes {
                FORBIDDEN
            } else {
                20
            }
        }
        Base::Root => {
            if writes {
                20_000
            } else {
                500
            }
        }
        Base::XdgCache => {
            if writes {
                500
            } else {
                5
            }
        }
        Base::Home if top(&[b".cache"]) => {
            if writes {
                500
            } else {
                5
            }
        }
        Base::Home if !rest.starts_with(b".") => {
            if writes {
                20_000
            } else {
                2_000
            }
        }
        Base::Home | Base::XdgConfig | Base::XdgData | Base::XdgState | Base::XdgRuntime | Base::Tmpdir => {
            if writes {
                20_000
            } else {
                1_000
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Location {
        text.parse().unwrap()
    }

    fn cost(exposure: &Exposure, dir: &str, of: u64, access: Access) -> u64 {
        let Location::Path { base, rest } = place(dir) else { unreachable!() };
        exposure.cost((base, &rest), of, of, access)
    }

    fn census(entries: u32, owner: Owner, world_readable: bool, marker: Option<&str>) -> Census {
        Census {
            dir: crate::vocab::path::AbsPath::root(),
            entries,
            capped: false,
            owner,
            world_readable,
            markers: marker.map(str::to_owned).into_iter().collect(),
            sensitive: Default::default(),
        }
    }

    #[test]
    fn an_entry_weighs_as_the_table_of_the_documentation_says() {
        for (dir, read, write) in [
            ("/usr/x", 2, FORBIDDEN),
            ("/opt/x", 2, FORBIDDEN),
            ("/etc/x", 20, FORBIDDEN),
            ("$PROJECT/x", 5, 20),
            ("~/.cache/x", 5, 500),
            ("$XDG_CACHE_HOME/x", 5, 500),
            ("~/.x", 1000, 20_000),
            ("~/x", 2000, 20_000),
            ("/srv/x", 500, 20_000),
        ] {
            let mut exposure = Exposure::default();
            exposure.add(place(dir), &census(10, Owner::Caller, true, None));
            let cost = |access| cost(&exposure, dir, 4, access);
            assert_eq!((cost(Access::Read), cost(Access::Write)), (6 * read, (6 * write).min(FORBIDDEN)), "{dir}");
        }
    }

    #[test]
    fn what_its_owner_keeps_to_himself_and_what_is_tagged_as_a_cache_weigh_as_such() {
        let mut exposure = Exposure::default();
        exposure.add(place("/srv/x"), &census(1, Owner::Other, false, None));
        exposure.add(place("/srv/c"), &census(1, Owner::Caller, true, Some("CACHEDIR.TAG")));
        assert_eq!(cost(&exposure, "/srv/x", 0, Access::Read), 50_000);
        assert_eq!(cost(&exposure, "/srv/c", 0, Access::Read), 5);
    }

    #[test]
    fn of_several_runs_the_most_counts_and_whoever_trusts_it_less() {
        let mut exposure = Exposure::default();
        for (entries, owner) in [(5, Owner::Caller), (2, Owner::Other), (3, Owner::Caller)] {
            exposure.add(place("~/.x"), &census(entries, owner, owner == Owner::Caller, None));
        }
        assert_eq!(cost(&exposure, "~/.x", 0, Access::Read), 5 * 50_000);
    }

    #[test]
    fn what_was_not_counted_is_as_large_as_such_directories_are_and_a_file_is_one() {
        let exposure = Exposure::default();
        assert_eq!(cost(&exposure, "/usr/share", 1, Access::Read), 99_999 * 2);
        assert_eq!(cost(&exposure, "~/.x", 1, Access::Read), (UNKNOWN - 1) * 1000);
        assert_eq!(cost(&exposure, "~/.x", 0, Access::Read), 0);
    }
}

//! Names that were looked up inside ⇄ the addresses that stand for them there, stable for the run; and the addresses outside.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sys::inet::Unresolved;
use crate::vocab::reach::{MOST_NAMES, PER_NAME, StandIn};

/// How long an answer from outside is good.
const FRESH: Duration = Duration::from_secs(60);
/// How long a failure is.
const FRESH_FAILURE: Duration = Duration::from_secs(3);

/// What a name led to outside, when it was asked last.
pub(super) type Resolved = Result<Arc<[IpAddr]>, Unresolved>;

#[derive(Debug)]
struct Entry {
    resolved: Resolved,
    asked: Instant,
    stand_in: Option<u32>,
}

/// The names of a run.
#[derive(Debug, Default)]
pub(super) struct Names {
    entries: BTreeMap<String, Entry>,
    /// By the number of their stand-in.
    numbered: Vec<String>,
}

impl Names {
    /// What is known of `name`, if that is still good.
    pub(super) fn fresh(&self, name: &str) -> Option<&Resolved> {
        let entry = self.entries.get(name)?;
        let good = if entry.resolved.is_ok() { FRESH } else { FRESH_FAILURE };
        (entry.asked.elapsed() < good).then_some(&entry.resolved)
    }

    /// How many names were looked up.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Keeps what was answered. An answer that failed takes nothing away from one that did not: a client has its addresses.
    pub(super) fn learn(&mut self, name: &str, resolved: Resolved) {
        let asked = Instant::now();
        match self.entries.get_mut(name) {
            Some(entry) if resolved.is_err() && entry.resolved.is_ok() => entry.asked = asked,
            Some(entry) => (entry.resolved, entry.asked) = (resolved, asked),
            None => drop(self.entries.insert(name.to_owned(), Entry { resolved, asked, stand_in: None })),
        }
    }

    /// The addresses inside that stand for those outside: of IPv6, or of IPv4. None when there is no room for more names.
    pub(super) fn stand_ins(&mut self, name: &str, v6: bool) -> Option<Vec<IpAddr>> {
        let entry = self.entries.get_mut(name)?;
        let outside = entry.resolved.as_ref().ok()?;
        let count = outside.iter().filter(|address| address.is_ipv6() == v6).count();
        let number = match entry.stand_in {
            Some(number) => number,
            None => {
                let number = u32::try_from(self.numbered.len()).ok().filter(|number| *number < MOST_NAMES)?;
                self.numbered.push(name.to_owned());
                *entry.stand_in.insert(number)
            }
        };
        let count = u32::try_from(count).unwrap_or(PER_NAME).min(PER_NAME);
        let of = |index| {
            let stand_in = StandIn { name: number, index };
            if v6 { IpAddr::V6(stand_in.v6()) } else { IpAddr::V4(stand_in.v4()) }
        };
        Some((0..count).map(of).collect())
    }

    /// The name that `inside` stands for, and the address that it is outside by now.
    pub(super) fn behind(&self, inside: IpAddr) -> Option<(&str, Option<IpAddr>)> {
        let stand_in = StandIn::of(inside)?;
        let name = self.numbered.get(stand_in.name as usize)?;
        let outside = self.entries.get(name)?.resolved.as_ref().ok();
        let alike: Vec<IpAddr> = outside
            .into_iter()
            .flat_map(|all| all.iter())
            .filter(|a| a.is_ipv6() == inside.is_ipv6())
            .copied()
            .collect();
        // There may be fewer than there were.
        let index = (stand_in.index as usize).checked_rem(alike.len());
        Some((name, index.and_then(|index| alike.get(index).copied())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_addresses_while_those_outside_change() {
        let mut names = Names::default();
        let some = |text: &[&str]| Ok(text.iter().map(|text| text.parse().unwrap()).collect());
        names.learn("a.x", some(&["93.1.1.1", "93.1.1.2", "2001:db8::1"]));
        names.learn("b.x", some(&["93.2.2.2"]));
        let a = names.stand_ins("a.x", false).unwrap();
        let b = names.stand_ins("b.x", false).unwrap();
        assert_eq!((a.len(), b.len()), (2, 1));
        assert_eq!(names.stand_ins("b.x", true).unwrap(), Vec::<IpAddr>::new());
        assert_eq!(names.behind(a[1]).unwrap(), ("a.x", Some("93.1.1.2".parse().unwrap())));
        names.learn("a.x", some(&["93.9.9.9"]));
        assert_eq!(names.stand_ins("a.x", false).unwrap(), a[..1]);
        assert_eq!(names.behind(a[1]).unwrap(), ("a.x", Some("93.9.9.9".parse().unwrap())));
        assert_eq!(names.behind(b[0]).unwrap().0, "b.x");
        names.learn("a.x", Err(Unresolved::Silent));
        assert_eq!(names.behind(a[0]).unwrap().1, Some("93.9.9.9".parse().unwrap()));
        assert_eq!(names.behind("198.18.200.1".parse().unwrap()), None);
    }

    #[test]
    fn there_is_an_end_of_names() {
        let mut names = Names::default();
        for number in 0..MOST_NAMES + 1 {
            let name = format!("n{number}.x");
            names.learn(&name, Ok([IpAddr::from([93, 0, 0, 1])].into()));
            assert_eq!(names.stand_ins(&name, false).is_some(), number < MOST_NAMES);
        }
    }
}

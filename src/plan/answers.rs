//! What a filter answers to a call, told from its registers: for the tracer, which cannot take the word of the filter.
//!
//! Of several filters that answer with a trace stop the one that was loaded last gives the data word (seccomp(2)), so a
//! program that loads one of its own could say of a refused call that it passes. Invariant: the same answer as that of the
//! compiled program, for every number, ABI and argument.

use crate::vocab::syscall::Syscall;

use super::compile::{NATIVE_ARCH, X32_BIT};
use super::{Action, Condition, FilterSpec, Rule, Test, Width};

/// A [`FilterSpec`] by number.
#[derive(Debug, Clone)]
pub struct Answers {
    foreign: Action,
    unknown: Action,
    known: Vec<(Action, Vec<Rule>)>,
}

impl Answers {
    /// The answers of `spec`.
    pub fn new(spec: &FilterSpec) -> Self {
        let mut known = Vec::new();
        for call in Syscall::all() {
            let rules = spec.rules.get(&call).cloned().unwrap_or_default();
            let action = spec.calls.get(&call).copied().unwrap_or(spec.default);
            known.resize(known.len().max(call.number() as usize), (spec.unknown, Vec::new()));
            known.push((action, rules));
        }
        Self { foreign: super::compile::foreign(spec), unknown: spec.unknown, known }
    }

    /// The answer to call `number` of the ABI `arch` with these registers.
    pub fn to(&self, arch: u32, number: u64, arguments: &[u64; 6]) -> Action {
        if arch != NATIVE_ARCH || number >= u64::from(X32_BIT) {
            return self.foreign;
        }
        let Some((action, rules)) = usize::try_from(number).ok().and_then(|number| self.known.get(number)) else {
            return self.unknown;
        };
        let holds = |rule: &&Rule| rule.conditions.iter().all(|condition| holds(condition, arguments));
        rules.iter().find(holds).map_or(*action, |rule| rule.action)
    }
}

fn holds(condition: &Condition, arguments: &[u64; 6]) -> bool {
    let register = arguments.get(usize::from(condition.argument)).copied().unwrap_or(0);
    let kept = |value: u64| match condition.width {
        Width::Word => value & 0xffff_ffff,
        Width::Double => value,
    };
    let equal = kept(register & condition.mask) == kept(condition.value);
    equal == (condition.test == Test::Equal)
}

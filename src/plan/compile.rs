//! [`FilterSpec`] → classic BPF: a balanced tree over call numbers, with the argument rules at its leaves.
//!
//! The program first refuses every foreign ABI (32-bit by the architecture token, x32 by the bit in the number) with ENOSYS.
//! Runs of consecutive numbers with one action are one leaf, so the tree is small and every call costs a handful of
//! comparisons (seccomp's bitmap makes constant answers free in any case). Whatever is not named in the specification gets
//! the specification's default, whatever the table does not know its `unknown`.
//!
//! Jumps in classic BPF go forward and reach 255 instructions: conditional jumps here never leave a small pattern, long
//! ways go through `JA`, whose offset has 32 bits.

use crate::vocab::bpf::Instruction;
use crate::vocab::syscall::Syscall;

use super::{Action, Condition, FilterSpec, Rule, Test, Width};

/// Data word of SECCOMP_RET_TRACE for [`Action::Trace`].
pub const TRACE_PASS: u16 = 0;
/// Bit in the data word of SECCOMP_RET_TRACE for [`Action::TraceRefuse`]; the other bits are the errno. For whoever reads
/// the program: a tracer goes by [`super::answers`].
pub const TRACE_REFUSE: u16 = 0x8000;

/// AUDIT_ARCH of the ABI that this build is for (linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub const NATIVE_ARCH: u32 = 0xC000_003E;
/// AUDIT_ARCH of the ABI that this build is for (linux/audit.h).
#[cfg(target_arch = "aarch64")]
pub const NATIVE_ARCH: u32 = 0xC000_00B7;

/// __X32_SYSCALL_BIT (asm/unistd.h): numbers with it are another ABI under the same architecture token.
pub const X32_BIT: u32 = 0x4000_0000;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// Offsets in struct seccomp_data (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Where a jump of an unfinished pattern goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The next instruction.
    Next,
    /// This many instructions further.
    Skip(u8),
    /// Behind the rule: it does not match.
    Miss,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    code: u16,
    k: u32,
    hit: Target,
    miss: Target,
}

/// What a run of consecutive numbers gets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment<'a> {
    first: u32,
    action: Action,
    rules: &'a [Rule],
}

/// Compiles `spec` into a program for seccomp(2).
pub fn compile(spec: &FilterSpec) -> Vec<Instruction> {
    let foreign = foreign(spec);
    let mut program = vec![
        load(ARCH),
        jump_if(JUMP_EQUAL, NATIVE_ARCH, 1, 0),
        answer(foreign),
        load(NUMBER),
        jump_if(JUMP_AT_LEAST, X32_BIT, 0, 1),
        answer(foreign),
    ];
    tree(&segments(spec), &mut program);
    program
}

/// What calls of other ABIs get. A tracer is told of attempts; the answer is the same.
pub(super) const fn foreign(spec: &FilterSpec) -> Action {
    match spec.unknown {
        Action::TraceRefuse(_) => Action::TraceRefuse(libc_enosys()),
        _ => Action::Refuse(libc_enosys()),
    }
}

/// ENOSYS is 38 on every architecture that this crate is for; pure rooms do not ask libc.
const fn libc_enosys() -> i32 {
    38
}

fn segments<'a>(spec: &'a FilterSpec) -> Vec<Segment<'a>> {
    let index = |call: Syscall| call.number() as usize;
    // By number from the start: a look into the maps, which are ordered by name, for each number would cost more than the rest.
    let calls: Vec<usize> = Syscall::all().map(index).collect();
    // One more than the last: what follows it is unknown, too.
    let count = calls.last().map_or(0, |last| last + 2);
    let mut known: Vec<(Action, &[Rule])> = vec![(spec.unknown, &[]); count];
    let mut fill = |at: usize, action: Option<Action>, rules: Option<&'a [Rule]>| {
        if let Some(place) = known.get_mut(at) {
            *place = (action.unwrap_or(place.0), rules.unwrap_or(place.1));
        }
    };
    calls.into_iter().for_each(|call| fill(call, Some(spec.default), None));
    spec.calls.iter().for_each(|(call, action)| fill(index(*call), Some(*action), None));
    spec.rules.iter().for_each(|(call, rules)| fill(index(*call), None, Some(rules)));
    let mut segments: Vec<Segment<'_>> = Vec::new();
    for (first, (action, rules)) in (0..).zip(known) {
        match segments.last() {
            Some(before) if rules.is_empty() && before.rules.is_empty() && before.action == action => {}
            Some(_) | None => segments.push(Segment { first, action, rules }),
        }
    }
    segments
}

/// Appends the tree over `segments`: it is made at each start, so in one piece of memory.
fn tree(segments: &[Segment<'_>], program: &mut Vec<Instruction>) {
    if let [segment] = segments {
        return leaf(segment, program);
    }
    let (low, high) = segments.split_at(segments.len() / 2);
    let Some(pivot) = high.first() else { return };
    let at = program.len();
    tree(low, program);
    let length = program.len() - at;
    match u8::try_from(length) {
        Ok(distance) => program.insert(at, jump_if(JUMP_AT_LEAST, pivot.first, distance, 0)),
        Err(_) => {
            let k = u32::try_from(length).unwrap_or(u32::MAX);
            let far = Instruction { code: JUMP, jump_true: 0, jump_false: 0, k };
            program.splice(at..at, [jump_if(JUMP_AT_LEAST, pivot.first, 0, 1), far]);
        }
    }
    tree(high, program);
}

fn leaf(segment: &Segment<'_>, program: &mut Vec<Instruction>) {
    for rule in segment.rules {
        let steps: Vec<Step> = rule.conditions.iter().flat_map(condition).collect();
        let length = steps.len() + 1;
        for (index, step) in steps.iter().enumerate() {
            let distance = |target: Target| match target {
                Target::Next => 0,
                Target::Skip(count) => count,
                // A rule is a few dozen instructions; a longer one would be refused by the kernel's verifier, not mis-jump.
                Target::Miss => u8::try_from(length - index - 1).unwrap_or(u8::MAX),
            };
            program.push(Instruction {
                code: step.code,
                jump_true: distance(step.hit),
                jump_false: distance(step.miss),
                k: step.k,
            });
        }
        program.push(answer(rule.action));
    }
    program.push(answer(segment.action));
}

/// The steps of one condition: on through the end when it holds, to [`Target::Miss`] when not.
fn condition(condition: &Condition) -> Vec<Step> {
    let half = |value: u64, shift: u32| u32::try_from((value >> shift) & 0xffff_ffff).unwrap_or(0);
    let compare = |offset: u32, mask: u32, value: u32, hit: Target, miss: Target| {
        let mut steps = vec![Step { code: LOAD, k: offset, hit: Target::Next, miss: Target::Next }];
        if mask != u32::MAX {
            steps.push(Step { code: AND, k: mask, hit: Target::Next, miss: Target::Next });
        }
        steps.push(Step { code: JUMP_EQUAL, k: value, hit, miss });
        steps
    };
    // seccomp_data is in the machine's byte order: on little-endian machines the low half comes first.
    let offset = ARGUMENTS + 8 * u32::from(condition.argument);
    let (low, high) = if cfg!(target_endian = "little") { (offset, offset + 4) } else { (offset + 4, offset) };
    let (low_mask, low_value) = (half(condition.mask, 0), half(condition.value, 0));
    let (high_mask, high_value) = (half(condition.mask, 32), half(condition.value, 32));
    match (condition.width, condition.test) {
        (Width::Word, Test::Equal) => compare(low, low_mask, low_value, Target::Next, Target::Miss),
        (Width::Word, Test::NotEqual) => compare(low, low_mask, low_value, Target::Miss, Target::Next),
        (Width::Double, Test::Equal) => {
            let mut steps = compare(low, low_mask, low_value, Target::Next, Target::Miss);
            steps.extend(compare(high, high_mask, high_value, Target::Next, Target::Miss));
            steps
        }
        (Width::Double, Test::NotEqual) => {
            let second = compare(high, high_mask, high_value, Target::Miss, Target::Next);
            let over = u8::try_from(second.len()).unwrap_or(u8::MAX);
            let mut steps = compare(low, low_mask, low_value, Target::Next, Target::Skip(over));
            steps.extend(second);
            steps
        }
    }
}

const fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, jump_true: 0, jump_false: 0, k: offset }
}

const fn jump_if(code: u16, k: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction { code, jump_true, jump_false, k }
}

/// The return instruction for an action (linux/seccomp.h).
fn answer(action: Action) -> Instruction {
    let errno = |errno: i32| u32::try_from(errno).unwrap_or(1) & 0xfff;
    let k = match action {
        Action::Allow => 0x7fff_0000,
        Action::Refuse(code) => 0x0005_0000 | errno(code),
        Action::Report(_) | Action::Mediate(_) => 0x7fc0_0000,
        Action::Trace => 0x7ff0_0000 | u32::from(TRACE_PASS),
        Action::TraceRefuse(code) => 0x7ff0_0000 | u32::from(TRACE_REFUSE) | errno(code),
    };
    Instruction { code: RETURN, jump_true: 0, jump_false: 0, k }
}

//! [`FilterSpec`] → classic BPF: a balanced tree over call numbers, with the argument rules behind it.
//!
//! The program first refuses every foreign ABI (32-bit by the architecture token, x32 by the bit in the number) with ENOSYS.
//! Runs of consecutive numbers with one answer are one leaf, and leaves are jumps to answers and rules that are shared, so
//! the tree has one instruction for each run. Only loads, masks, jumps and returns are used: of such a program the kernel
//! finds out which calls it always allows, and does not run it for them (seccomp's bitmap). Whatever is not named in the
//! specification gets the specification's default, whatever the table does not know its `unknown`.
//!
//! Jumps in classic BPF go forward, and conditional ones reach 255 instructions. So the program is made from its end:
//! every target is there before what jumps to it, and a jump of its own stands in between where one is too far.

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
const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// Offsets in struct seccomp_data (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// How far a conditional jump goes.
const REACH: usize = u8::MAX as usize;

/// What a run of consecutive numbers gets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment<'a> {
    first: u32,
    answer: u32,
    rules: &'a [Rule],
}

/// Compiles `spec` into a program for seccomp(2).
pub fn compile(spec: &FilterSpec) -> Vec<Instruction> {
    let foreign = answer(foreign(spec));
    let mut segments = segments(spec);
    // Numbers from that bit on are the other ABI's.
    extend(&mut segments, Segment { first: X32_BIT, answer: foreign, rules: &[] });
    let mut program = Backwards::default();
    let leaf = |segment: &Segment<'_>| match segment.rules {
        [] => Leaf::Answer(segment.answer),
        rules => Leaf::Rules(program.rules(rules, segment.answer)),
    };
    let leaves: Vec<Leaf> = segments.iter().map(leaf).collect();
    let leaves: Vec<(u32, Leaf)> = segments.iter().map(|segment| segment.first).zip(leaves).collect();
    program.tree(&leaves);
    program.load(NUMBER);
    let known = program.here();
    let refused = program.answer(foreign);
    program.jump_if(JUMP_EQUAL, NATIVE_ARCH, known, refused);
    program.load(ARCH);
    program.finish()
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
    let mut known: Vec<(u32, &[Rule])> = vec![(answer(spec.unknown), &[]); count];
    let mut fill = |at: usize, action: Option<Action>, rules: Option<&'a [Rule]>| {
        if let Some(place) = known.get_mut(at) {
            *place = (action.map_or(place.0, answer), rules.unwrap_or(place.1));
        }
    };
    calls.into_iter().for_each(|call| fill(call, Some(spec.default), None));
    spec.calls.iter().for_each(|(call, action)| fill(index(*call), Some(*action), None));
    spec.rules.iter().for_each(|(call, rules)| fill(index(*call), None, Some(rules)));
    let mut segments: Vec<Segment<'_>> = Vec::new();
    for (first, (answer, rules)) in (0..).zip(known) {
        extend(&mut segments, Segment { first, answer, rules });
    }
    segments
}

/// Adds a segment, or makes the last one longer.
fn extend<'a>(segments: &mut Vec<Segment<'a>>, segment: Segment<'a>) {
    let alike = |before: &Segment<'_>| before.answer == segment.answer && before.rules == segment.rules;
    if !segments.last().is_some_and(alike) {
        segments.push(segment);
    }
}

/// An instruction of a program that is made from its end: how many follow it.
type Label = usize;

/// Where a call's number leads.
#[derive(Debug, Clone, Copy)]
enum Leaf {
    Answer(u32),
    Rules(Label),
}

/// A test of one half of a register: what is loaded, masked and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Half {
    offset: u32,
    mask: u32,
    value: u32,
}

/// What is in the accumulator: a word of the call's data with these bits.
type Held = (u32, u32);

#[derive(Debug, Default)]
struct Backwards {
    program: Vec<Instruction>,
    /// Answers that are there already.
    answers: Vec<(u32, Label)>,
    /// Rules with what follows them, likewise.
    ruled: Vec<(Vec<Rule>, u32, Label)>,
}

impl Backwards {
    fn push(&mut self, instruction: Instruction) {
        self.program.push(instruction);
    }

    /// The instruction that was made last, which is the first one so far.
    fn here(&self) -> Label {
        self.program.len().saturating_sub(1)
    }

    fn load(&mut self, offset: u32) {
        self.push(Instruction { code: LOAD, jump_true: 0, jump_false: 0, k: offset });
    }

    /// The return of `answer`, near enough to be jumped to by the next instruction but a few.
    fn answer(&mut self, answer: u32) -> Label {
        let near = |(known, label): &(u32, Label)| *known == answer && self.program.len() - label < REACH - 4;
        if let Some((_, label)) = self.answers.iter().rev().find(|known| near(known)) {
            return *label;
        }
        self.push(Instruction { code: RETURN, jump_true: 0, jump_false: 0, k: answer });
        self.answers.push((answer, self.here()));
        self.here()
    }

    /// `label`, or a jump to it that a conditional jump reaches.
    fn near(&mut self, label: Label) -> Label {
        let distance = self.program.len() - label;
        if distance < REACH - 2 {
            return label;
        }
        let k = u32::try_from(distance - 1).unwrap_or(u32::MAX);
        self.push(Instruction { code: JUMP, jump_true: 0, jump_false: 0, k });
        self.here()
    }

    fn jump_if(&mut self, code: u16, k: u32, hit: Label, miss: Label) {
        let (hit, miss) = (self.near(hit), self.near(miss));
        // Both are within reach by now.
        let distance = |label: Label| u8::try_from(self.program.len() - label - 1).unwrap_or(u8::MAX);
        self.push(Instruction { code, jump_true: distance(hit), jump_false: distance(miss), k });
    }

    /// The tree over leaves, each with its first number.
    fn tree(&mut self, leaves: &[(u32, Leaf)]) -> Label {
        match leaves {
            [(_, Leaf::Rules(label))] => *label,
            [(_, Leaf::Answer(answer))] => self.answer(*answer),
            _ => {
                let (low, high) = leaves.split_at(leaves.len() / 2);
                let pivot = high.first().map_or(0, |(first, _)| *first);
                let (high, low) = (self.tree(high), self.tree(low));
                self.jump_if(JUMP_AT_LEAST, pivot, high, low);
                self.here()
            }
        }
    }

    /// What decides a call by its arguments; `default` where no rule matches.
    fn rules(&mut self, rules: &[Rule], default: u32) -> Label {
        let simple = simplified(rules, default);
        if simple.is_empty() {
            return self.answer(default);
        }
        let alike = |(known, answer, _): &&(Vec<Rule>, u32, Label)| known == rules && *answer == default;
        if let Some((.., label)) = self.ruled.iter().find(alike) {
            return *label;
        }
        let mut next = self.answer(default);
        // Where the next rule goes on once this is loaded.
        let mut loaded: Option<(Held, Label)> = None;
        for (conditions, action) in simple.iter().rev() {
            let mut hit = self.answer(*action);
            let alone = conditions.len() == 1;
            let mut entry = None;
            for condition in conditions.iter().rev() {
                // What is in the accumulator when this one misses is known if it looks at one word alone.
                let miss = match (loaded, halves(condition).as_slice()) {
                    (Some((held, label)), [half]) if alone && held == half.held() => label,
                    _ => next,
                };
                entry = self.condition(condition, hit, miss);
                hit = self.here();
            }
            next = self.here();
            loaded = entry;
        }
        self.ruled.push((rules.to_vec(), default, next));
        next
    }

    /// A condition: to `hit` where it holds, else to `miss`. What its first test has loaded, and where that test stands.
    fn condition(&mut self, condition: &Condition, hit: Label, miss: Label) -> Option<(Held, Label)> {
        let (equal, other) = if condition.test == Test::Equal { (hit, miss) } else { (miss, hit) };
        let mut next = equal;
        let mut first = None;
        for half in halves(condition).iter().rev() {
            let (code, k, swapped) = half.test();
            let (set, clear) = if swapped { (other, next) } else { (next, other) };
            self.jump_if(code, k, set, clear);
            first = Some((half.held(), self.here()));
            if half.held().1 != u32::MAX {
                self.push(Instruction { code: AND, jump_true: 0, jump_false: 0, k: half.mask });
            }
            self.load(half.offset);
            next = self.here();
        }
        first
    }

    fn finish(mut self) -> Vec<Instruction> {
        self.program.reverse();
        self.program
    }
}

impl Half {
    /// The jump that tests it, and whether it is taken where the test does *not* hold.
    fn test(self) -> (u16, u32, bool) {
        if self.by_bits() { (JUMP_SET, self.mask, self.value == 0) } else { (JUMP_EQUAL, self.value, false) }
    }

    /// Whether one jump on bits tells, without a mask first.
    fn by_bits(self) -> bool {
        self.mask != u32::MAX && (self.value == 0 || self.mask.is_power_of_two() && self.value == self.mask)
    }

    /// What is in the accumulator when it is tested.
    fn held(self) -> Held {
        (self.offset, if self.by_bits() { u32::MAX } else { self.mask })
    }
}

/// The words that `condition` looks at.
fn halves(condition: &Condition) -> Vec<Half> {
    let part = |value: u64, shift: u32| u32::try_from((value >> shift) & 0xffff_ffff).unwrap_or(0);
    // seccomp_data is in the machine's byte order: on little-endian machines the low half comes first.
    let offset = ARGUMENTS + 8 * u32::from(condition.argument);
    let (low, high) = if cfg!(target_endian = "little") { (offset, offset + 4) } else { (offset + 4, offset) };
    let half = |offset, shift| Half { offset, mask: part(condition.mask, shift), value: part(condition.value, shift) };
    let (low, high) = (half(low, 0), half(high, 32));
    // What no bit is asked of is always as it should be.
    match condition.width {
        Width::Double if low.mask | low.value == 0 => vec![high],
        Width::Double if high.mask | high.value != 0 => vec![low, high],
        Width::Word | Width::Double => vec![low],
    }
}

/// The same rules in fewer words: several bits of one argument that are each answered alike are one test, and what is
/// answered like the rest at the end needs none.
fn simplified(rules: &[Rule], default: u32) -> Vec<(Vec<Condition>, u32)> {
    let bits = |conditions: &[Condition]| match conditions {
        [one] if one.width == Width::Word => {
            let (mask, value) = (one.mask & u64::from(u32::MAX), one.value & u64::from(u32::MAX));
            let any = match one.test {
                Test::Equal => mask.is_power_of_two() && value == mask,
                Test::NotEqual => value == 0,
            };
            any.then_some((one.argument, mask))
        }
        _ => None,
    };
    let mut simple: Vec<(Vec<Condition>, u32)> = Vec::new();
    for rule in rules {
        let answer = answer(rule.action);
        let together = simple.last().filter(|(_, before)| *before == answer).and_then(|(conditions, _)| {
            let ((argument, mask), (same, more)) = (bits(conditions)?, bits(&rule.conditions)?);
            let mask = mask | more;
            (argument == same).then_some(Condition {
                argument,
                width: Width::Word,
                mask,
                value: 0,
                test: Test::NotEqual,
            })
        });
        match (together, simple.last_mut()) {
            (Some(condition), Some((conditions, _))) => *conditions = vec![condition],
            _ => simple.push((rule.conditions.clone(), answer)),
        }
    }
    while simple.last().is_some_and(|(_, answer)| *answer == default) {
        simple.pop();
    }
    simple
}

/// The return value for an action (linux/seccomp.h).
fn answer(action: Action) -> u32 {
    let errno = |errno: i32| u32::try_from(errno).unwrap_or(1) & 0xfff;
    match action {
        Action::Allow => 0x7fff_0000,
        Action::Refuse(code) => 0x0005_0000 | errno(code),
        Action::Report(_) | Action::Mediate(_) => 0x7fc0_0000,
        Action::Trace => 0x7ff0_0000 | u32::from(TRACE_PASS),
        Action::TraceRefuse(code) => 0x7ff0_0000 | u32::from(TRACE_REFUSE) | errno(code),
    }
}

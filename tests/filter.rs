//! The compiled filter says what the specification says: for every number, every foreign ABI, and for arguments that
//! differ in one bit. The program is run by an interpreter of classic BPF as the kernel has it for seccomp.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

use std::collections::BTreeMap;

use pinfold::plan::answers::Answers;
use pinfold::plan::compile::{NATIVE_ARCH, TRACE_REFUSE, X32_BIT, compile};
use pinfold::plan::{Action, Condition, Desk, FilterSpec, Rule, Test, Width};
use pinfold::vocab::bpf::Instruction;
use pinfold::vocab::syscall::Syscall;
use proptest::prelude::*;

/// struct seccomp_data, as the filter sees it.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    arch: u32,
    arguments: [u64; 6],
}

/// Runs `program`; panics where the kernel's verifier would refuse it or it would run off its end.
fn interpret(program: &[Instruction], call: Call) -> u32 {
    run(program, call).0
}

/// The answer, and how many instructions it took.
fn run(program: &[Instruction], call: Call) -> (u32, usize) {
    let mut data = [0_u8; 64];
    data[0..4].copy_from_slice(&call.number.to_ne_bytes());
    data[4..8].copy_from_slice(&call.arch.to_ne_bytes());
    for (index, argument) in call.arguments.iter().enumerate() {
        data[16 + 8 * index..24 + 8 * index].copy_from_slice(&argument.to_ne_bytes());
    }
    let (mut accumulator, mut at) = (0_u32, 0_usize);
    for count in 1..=program.len() {
        let Instruction { code, jump_true, jump_false, k } = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { jump_true } else { jump_false });
        match code {
            0x20 => {
                let offset = k as usize;
                assert_eq!(offset % 4, 0, "seccomp loads aligned words only");
                accumulator = u32::from_ne_bytes(data[offset..offset + 4].try_into().unwrap());
            }
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x35 => at += jump(accumulator >= k),
            0x45 => at += jump(accumulator & k != 0),
            0x06 => return (k, count),
            other => panic!("instruction {other:#x}"),
        }
    }
    panic!("the program does not end");
}

/// What the specification says, without any cleverness.
fn expected(spec: &FilterSpec, call: Call) -> Action {
    if call.arch != NATIVE_ARCH || call.number & X32_BIT != 0 || call.number > X32_BIT {
        return if matches!(spec.unknown, Action::TraceRefuse(_)) {
            Action::TraceRefuse(38)
        } else {
            Action::Refuse(38)
        };
    }
    let Some(name) = Syscall::from_number(u64::from(call.number)) else { return spec.unknown };
    for rule in spec.rules.get(&name).into_iter().flatten() {
        let holds = |condition: &Condition| {
            let register = call.arguments[usize::from(condition.argument)];
            let cut = |value: u64| if condition.width == Width::Word { value & 0xffff_ffff } else { value };
            let equal = cut(register & condition.mask) == cut(condition.value);
            equal == (condition.test == Test::Equal)
        };
        if rule.conditions.iter().all(holds) {
            return rule.action;
        }
    }
    *spec.calls.get(&name).unwrap_or(&spec.default)
}

fn returned(action: Action) -> u32 {
    match action {
        Action::Allow => 0x7fff_0000,
        Action::Refuse(errno) => 0x0005_0000 | u32::try_from(errno).unwrap(),
        Action::Report(_) | Action::Mediate(_) => 0x7fc0_0000,
        Action::Trace => 0x7ff0_0000,
        Action::TraceRefuse(errno) => 0x7ff0_0000 | u32::from(TRACE_REFUSE) | u32::try_from(errno).unwrap(),
    }
}

fn agrees(spec: &FilterSpec, arguments: &[[u64; 6]]) {
    let (program, answers) = (compile(spec), Answers::new(spec));
    assert!(program.len() <= 4096, "BPF_MAXINSNS");
    for number in (0..600).chain([X32_BIT, X32_BIT + 1, X32_BIT + 59, u32::MAX, 1 << 20]) {
        for arch in [NATIVE_ARCH, 0x4000_0003, 0x4000_0028, 0xC000_00B7, 0] {
            for &arguments in arguments {
                let call = Call { number, arch, arguments };
                assert_eq!(interpret(&program, call), returned(expected(spec, call)), "{call:?}");
                assert_eq!(answers.to(arch, u64::from(number), &arguments), expected(spec, call), "{call:?}");
            }
        }
    }
}

fn call(name: &str) -> Syscall {
    Syscall::from_name(name).unwrap()
}

fn spec(allowed: impl IntoIterator<Item = &'static str>) -> FilterSpec {
    FilterSpec {
        calls: allowed.into_iter().map(|name| (call(name), Action::Allow)).collect(),
        default: Action::Report(1),
        unknown: Action::Refuse(38),
        rules: BTreeMap::new(),
    }
}

#[test]
fn every_number_of_every_abi_gets_what_the_specification_says() {
    agrees(&spec(["read", "write", "openat", "exit_group", "execve", "futex"]), &[[0; 6]]);
    agrees(&spec([]), &[[0; 6]]);
}

#[test]
fn high_bits_of_an_int_argument_do_not_get_past_a_rule() {
    let mut spec = spec(["ioctl"]);
    let tiocsti = Condition { argument: 1, width: Width::Word, mask: u64::MAX, value: 0x5412, test: Test::Equal };
    spec.rules.insert(call("ioctl"), vec![Rule { conditions: vec![tiocsti], action: Action::Refuse(1) }]);
    let with = |command: u64| [0, command, 0, 0, 0, 0];
    let commands = [0x5412, 0x1_0000_5412, 0x8000_0000_0000_5412, 0x5413, 0x5410, 0x8000_5412, 0x5401].map(with);
    agrees(&spec, &commands);
    let program = compile(&spec);
    let junk = Call { number: call("ioctl").number(), arch: NATIVE_ARCH, arguments: with(0xdead_beef_0000_5412) };
    assert_eq!(interpret(&program, junk), returned(Action::Refuse(1)));
}

#[test]
fn flags_in_either_half_of_a_register_are_seen() {
    let mut spec = spec(["clone"]);
    for (mask, width) in [(0x7e02_0080, Width::Word), (0x1_0000_0000, Width::Double), (u64::MAX, Width::Double)] {
        for test in [Test::Equal, Test::NotEqual] {
            let condition = Condition { argument: 0, width, mask, value: 0, test };
            spec.rules.insert(call("clone"), vec![Rule { conditions: vec![condition], action: Action::Refuse(1) }]);
            let bits: Vec<[u64; 6]> = (0..64).map(|bit| [1 << bit, 0, 0, 0, 0, 0]).chain([[0; 6]]).collect();
            agrees(&spec, &bits);
        }
    }
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        (1..134_i32).prop_map(Action::Refuse),
        (1..134_i32).prop_map(Action::Report),
        Just(Action::Mediate(Desk::Network)),
        Just(Action::Trace),
        (1..134_i32).prop_map(Action::TraceRefuse),
    ]
}

fn any_call() -> impl Strategy<Value = Syscall> {
    prop::sample::select(Syscall::all().collect::<Vec<_>>())
}

fn interesting() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(1 << 31),
        Just(1 << 32),
        Just(1 << 63),
        Just(0xffff_ffff),
        any::<u64>()
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let condition = (0..6_u8, any::<bool>(), interesting(), interesting(), any::<bool>()).prop_map(
        |(argument, word, mask, value, equal)| Condition {
            argument,
            width: if word { Width::Word } else { Width::Double },
            mask,
            value: value & mask,
            test: if equal { Test::Equal } else { Test::NotEqual },
        },
    );
    (prop::collection::vec(condition, 1..4), any_action()).prop_map(|(conditions, action)| Rule { conditions, action })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_specifications_are_compiled_as_they_say(
        calls in prop::collection::btree_map(any_call(), any_action(), 0..150),
        rules in prop::collection::btree_map(any_call(), prop::collection::vec(any_rule(), 1..4), 0..12),
        default in any_action(),
        unknown in any_action(),
        arguments in prop::collection::vec(prop::array::uniform6(interesting()), 1..4),
    ) {
        agrees(&FilterSpec { calls, default, unknown, rules }, &arguments);
    }
}

/// The filter of a profile with these lines in its section of calls.
fn of_profile(lines: &str) -> FilterSpec {
    let profile = format!("schema = 1\nname = \"t\"\ncommand = [\"t\"]\n\n[syscalls]\nbase = 1\n{lines}");
    pinfold::plan::filter::filter(&pinfold::profile::parse::parse(&profile).unwrap()).unwrap()
}

/// Registers at which the rules of real filters turn, and beside them.
fn turning_points(spec: &FilterSpec) -> Vec<[u64; 6]> {
    let mut points = vec![[0; 6], [u64::MAX; 6]];
    for condition in spec.rules.values().flatten().flat_map(|rule| &rule.conditions) {
        for value in [condition.value, condition.mask, condition.value ^ 1, condition.value | 1 << 40] {
            for other in [0, u64::MAX] {
                let mut arguments = [other; 6];
                arguments[usize::from(condition.argument)] = value;
                points.push(arguments);
            }
        }
    }
    points.sort_unstable();
    points.dedup();
    points
}

#[test]
fn the_filters_of_real_runs_are_compiled_as_they_say() {
    let sockets = "allow = [\"socket\", \"connect\"]\n[syscalls.arguments]\nsocket = [\"inet stream\", \"netlink raw 0\", \"unix datagram\"]\nioctl = [\"FIONBIO\"]\n";
    let mut mediated = pinfold::plan::observe::filter(false);
    let calls = ["connect", "bind", "listen"].map(call);
    pinfold::plan::observe::hand_over(&mut mediated, &calls, Desk::Network, 0x1234_5678_9abc);
    let learning = [pinfold::plan::observe::filter(false), pinfold::plan::observe::filter(true), mediated];
    for spec in [of_profile(""), of_profile(sockets)].into_iter().chain(learning) {
        agrees(&spec, &turning_points(&spec));
    }
}

#[test]
fn rules_that_are_further_away_than_a_jump_reaches_are_found() {
    let mut spec = spec(["ioctl", "fcntl", "prctl", "read"]);
    for (name, argument) in [("ioctl", 1), ("fcntl", 1), ("prctl", 0)] {
        let rule = |value: u64| Rule {
            conditions: vec![
                Condition {
                    argument,
                    width: Width::Double,
                    mask: u64::MAX,
                    value: value << 30 | value,
                    test: Test::Equal,
                },
                Condition { argument: 2, width: Width::Word, mask: 0xff, value, test: Test::NotEqual },
            ],
            action: Action::Refuse(i32::try_from(value).unwrap()),
        };
        spec.rules.insert(call(name), (1..100).map(rule).collect());
    }
    assert!(compile(&spec).len() > 1000);
    let with = |value: u64, third: u64| [value << 30 | value, value << 30 | value, third, 0, 0, 0];
    let points: Vec<_> = (0..101).step_by(7).flat_map(|value| [with(value, 0), with(value, value)]).collect();
    agrees(&spec, &points);
}

/// `spec` with `count` of the calls that it allows, the lowest numbers, and no rules.
fn tree_of(spec: &FilterSpec, count: usize) -> FilterSpec {
    let mut allowed: Vec<Syscall> = spec.calls.iter().filter(|(_, a)| **a == Action::Allow).map(|(c, _)| *c).collect();
    allowed.sort_by_key(|call| call.number());
    assert!(allowed.len() >= count);
    let calls = spec.calls.iter().map(|(call, action)| match action {
        Action::Allow if !allowed[..count].contains(call) => (*call, Action::Report(1)),
        action => (*call, *action),
    });
    FilterSpec { calls: calls.collect(), rules: BTreeMap::new(), ..spec.clone() }
}

#[test]
fn the_tree_of_120_calls_has_at_most_75_instructions() {
    let spec = of_profile("");
    assert!(compile(&tree_of(&spec, 120)).len() <= 75);
    // All of the base set: less than six for each ten calls.
    let whole = spec.calls.values().filter(|action| **action == Action::Allow).count();
    assert!(compile(&tree_of(&spec, whole)).len() * 10 <= whole * 6);
}

#[test]
fn a_rule_on_arguments_has_at_most_10_instructions() {
    for spec in [of_profile(""), pinfold::plan::observe::filter(false)] {
        for (call, rules) in &spec.rules {
            let alone = |rules: BTreeMap<Syscall, Vec<Rule>>| {
                let calls = BTreeMap::from([(*call, spec.calls[call])]);
                compile(&FilterSpec { calls, rules, ..spec.clone() }).len()
            };
            let cost = alone(BTreeMap::from([(*call, rules.clone())])) - alone(BTreeMap::new());
            assert!(cost <= 10 * rules.len(), "{call}: {cost} instructions for {} rules", rules.len());
        }
    }
}

#[test]
fn a_call_takes_few_instructions_whatever_its_number_and_arguments() {
    let spec = of_profile("");
    let program = compile(&spec);
    let points = turning_points(&spec);
    for number in 0..600 {
        let name = Syscall::from_number(u64::from(number)).filter(|call| spec.rules.contains_key(call));
        let most = points.iter().map(|&arguments| run(&program, Call { number, arch: NATIVE_ARCH, arguments }).1).max();
        // Three to know the ABI and the number, then the depth of the tree and the answer.
        let bound = match name.map(Syscall::name) {
            None => 12,
            // Six kinds of pairs, tried one after the other.
            Some("socketpair") => 45,
            Some(_) => 20,
        };
        assert!(most.unwrap() <= bound, "{number}: {most:?}");
    }
}

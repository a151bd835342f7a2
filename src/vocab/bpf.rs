//! One instruction of a classic BPF program, as seccomp(2) takes it: `plan` builds programs, `sys` loads them.

/// `struct sock_filter` of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation code.
    pub code: u16,
    /// Instructions to skip when a test holds.
    pub jump_true: u8,
    /// Instructions to skip when a test does not hold.
    pub jump_false: u8,
    /// Operand.
    pub k: u32,
}

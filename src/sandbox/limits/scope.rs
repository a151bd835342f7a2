//! Limits → a transient scope of systemd's in which the run is, at the user's own systemd or, for root, the machine's.
//!
//! systemd makes the control group, moves init into it, and takes it away once it is empty. What it was asked for counts
//! only as far as it is found in the control group afterwards.

use std::collections::BTreeSet;

use crate::sys::process;
use crate::vocab::host::Identity;
use crate::vocab::limits::{Limit, Limits};

use super::Holder;
use super::bus::{Body, Bus, BusError, DAEMON, Target};
use super::group::{Group, Hierarchy, controller, cpu_microseconds, processes_with_init};

const MANAGER: Target = Target {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

const PROPERTIES: Target = Target { interface: "org.freedesktop.DBus.Properties", ..MANAGER };

/// A systemd that answers.
#[derive(Debug)]
pub(super) struct Scope {
    bus: Bus,
    hierarchy: Hierarchy,
    /// The limits whose controllers it has to give.
    pub(super) offers: BTreeSet<Limit>,
}

impl Scope {
    /// Finds it, and what it can hold of `wanted`. The error says why it can hold nothing.
    pub(super) fn find(wanted: &BTreeSet<Limit>, identity: Identity) -> Result<Self, String> {
        let hierarchy = Hierarchy::find().ok_or("no control group of version 2 is mounted")?;
        hierarchy.has_any(wanted)?;
        let mut why = "there is no bus of a systemd of this user".to_owned();
        for address in addresses(identity) {
            match Self::connect(&address, &hierarchy, wanted) {
                Ok((bus, offers)) if !offers.is_empty() => return Ok(Self { bus, hierarchy, offers }),
                Ok(_) => why = "systemd has no controllers to give to this user".to_owned(),
                Err(error) => why = format!("{error}, at `{address}`"),
            }
        }
        Err(why)
    }

    fn connect(
        address: &str,
        hierarchy: &Hierarchy,
        wanted: &BTreeSet<Limit>,
    ) -> Result<(Bus, BTreeSet<Limit>), BusError> {
        let mut bus = Bus::connect(address)?;
        // Pids are told to systemd: in another pid namespace they would be somebody else's.
        let mut body = Body::default();
        body.string(&bus.name.clone());
        let pid = bus.call(DAEMON, "GetConnectionUnixProcessID", "s", body)?.reader().u32()?;
        if pid != std::process::id() {
            return Err(BusError::Stranger);
        }
        let mut body = Body::default();
        body.string(MANAGER.interface);
        body.string("ControlGroup");
        let answer = bus.call(PROPERTIES, "Get", "ss", body)?;
        let mut reader = answer.reader();
        reader.signature()?;
        let offered = hierarchy.controllers(reader.string()?);
        let offers = wanted.iter().copied().filter(|limit| offered.contains(controller(*limit)));
        Ok((bus, offers.collect()))
    }

    /// Has the scope made, with `init` in it.
    pub(super) fn make(mut self, limits: &Limits, init: i32) -> Result<Group, String> {
        let unit = format!("pinfold-{}-{}.scope", std::process::id(), process::random_name());
        self.start(&unit, limits, init).map_err(|error| format!("systemd makes no scope: {error}"))?;
        let group = self.hierarchy.group_of(init).map_err(|error| error.to_string())?;
        if group.file_name().and_then(|name| name.to_str()) != Some(unit.as_str()) {
            return Err("systemd made a scope and did not move the run into it".to_owned());
        }
        Group::found(group, Holder::Scope, limits).map_err(|error| error.to_string())
    }

    fn start(&mut self, unit: &str, limits: &Limits, init: i32) -> Result<(), BusError> {
        let mut body = Body::default();
        body.string(
            "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
             interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
        );
        self.bus.call(DAEMON, "AddMatch", "s", body)?;
        let signature = "ssa(sv)a(sa(sv))";
        let called = match self.bus.call(MANAGER, "StartTransientUnit", signature, self::unit(unit, limits, init, true))
        {
            // Before systemd 253 a scope has no OOMPolicy, and does what that one asks for.
            Err(BusError::Refused { .. }) => {
                self.bus.call(MANAGER, "StartTransientUnit", signature, self::unit(unit, limits, init, false))
            }
            other => other,
        }?;
        let job = called.reader().string()?.to_owned();
        let result = self.bus.signal("JobRemoved", |message| {
            let mut reader = message.reader();
            reader.u32().ok()?;
            (reader.string().ok()? == job).then_some(())?;
            reader.string().ok()?;
            Some(reader.string().ok()?.to_owned())
        })?;
        if result == "done" {
            return Ok(());
        }
        Err(BusError::Refused { name: result, text: "the job ended without success".to_owned() })
    }
}

/// Where the bus may be: the session's; for root, the machine's as well.
fn addresses(identity: Identity) -> Vec<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let session = variable("DBUS_SESSION_BUS_ADDRESS")
        .or_else(|| variable("XDG_RUNTIME_DIR").map(|dir| format!("unix:path={dir}/bus")));
    let machine = "unix:path=/run/dbus/system_bus_socket".to_owned();
    session.into_iter().chain((identity.uid == 0).then_some(machine)).collect()
}

/// The arguments of StartTransientUnit.
fn unit(name: &str, limits: &Limits, init: i32, oom_policy: bool) -> Body {
    let mut body = Body::default();
    body.string(name);
    body.string("fail");
    body.array(8, |properties| {
        let text = |properties: &mut Body, name: &str, value: &str| {
            properties.structure();
            properties.string(name);
            properties.signature("s");
            properties.string(value);
        };
        text(properties, "Description", "a run of pinfold");
        // A scope in which the kernel ended a process is "failed", and would stay listed.
        text(properties, "CollectMode", "inactive-or-failed");
        if oom_policy {
            text(properties, "OOMPolicy", "continue");
        }
        properties.structure();
        properties.string("PIDs");
        properties.signature("au");
        properties.array(4, |pids| pids.u32(init.unsigned_abs()));
        let numbers = [
            ("MemoryMax", limits.memory.map(|memory| memory.0)),
            ("MemorySwapMax", limits.memory.map(|_| 0)),
            ("TasksMax", limits.processes.map(processes_with_init)),
            ("CPUQuotaPerSecUSec", limits.cpu.map(cpu_microseconds)),
        ];
        for (name, value) in numbers.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            properties.structure();
            properties.string(name);
            properties.signature("t");
            properties.u64(value);
        }
        let rates = limits.io.map(|rate| ["IOReadBandwidthMax", "IOWriteBandwidthMax"].map(|name| (name, rate.0.0)));
        for (name, rate) in rates.into_iter().flatten() {
            properties.structure();
            properties.string(name);
            properties.signature("a(st)");
            properties.array(8, |disks| {
                for disk in super::group::disks() {
                    disks.structure();
                    disks.string(&disk.node);
                    disks.u64(rate);
                }
            });
        }
    });
    body.array(8, |_| {});
    body
}

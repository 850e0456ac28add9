//! This process and the machine under it: resident size, its peak, CPU, machine and cgroup memory.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

use crate::engine::protocol::MachineStatus;
use crate::units::Bytes;

/// Samples this process; ask about once a second, it costs two or three small reads of `/proc`.
pub struct Process {
    system: Option<System>,
    pid: Option<Pid>,
    peak: Bytes,
    cores: u32,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("pid", &self.pid).field("peak", &self.peak).finish_non_exhaustive()
    }
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

impl Process {
    /// Ready to sample; on a system that cannot be asked every figure stays zero.
    #[must_use]
    pub fn new() -> Self {
        let what = RefreshKind::nothing()
            .with_memory(MemoryRefreshKind::nothing().with_ram())
            .with_cpu(CpuRefreshKind::nothing());
        let system = System::new_with_specifics(what).ok();
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        Self { system, pid: sysinfo::get_current_pid().ok(), peak: Bytes::ZERO, cores }
    }

    /// Looks now. The CPU share is that since the last look; zero at the first.
    pub fn sample(&mut self) -> MachineStatus {
        let mut status = MachineStatus { cores: self.cores, ..MachineStatus::default() };
        let (Some(system), Some(pid)) = (&mut self.system, self.pid) else { return status };
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        status.machine_used = Bytes(system.used_memory());
        status.machine_total = Bytes(system.total_memory());
        let what = ProcessRefreshKind::nothing().with_memory().with_cpu().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        if let Some(process) = system.process(pid) {
            status.rss = Bytes(process.memory());
            status.cpu_percent = process.cpu_usage();
            // Without a limit of its own a cgroup reports the machine's memory.
            let limits = process.cgroup_limits().filter(|limits| limits.total_memory < status.machine_total.0);
            status.cgroup = limits.map(|limits| {
                let total = Bytes(limits.total_memory);
                (total.less(Bytes(limits.free_memory)), total)
            });
        }
        self.peak = self.peak.max(status.rss);
        status.rss_peak = self.peak;
        status
    }

    /// Begins a new peak (a job starts).
    pub fn reset_peak(&mut self) {
        self.peak = Bytes::ZERO;
    }
}

/// The memory that the process may use at all: the machine's, or its cgroup's limit where that is less.
#[must_use]
pub fn memory_ceiling() -> Bytes {
    let status = Process::new().sample();
    status.cgroup.map_or(status.machine_total, |(_, limit)| limit.min(status.machine_total))
}

//! What the process and the network have used so far.

use std::fs;
use std::time::Duration;

use crate::AnyResult;

/// The unit of the times in /proc/self/stat, on all of today's Linux systems.
const TICK: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// User and system time of all threads, also of those that have ended.
    pub(crate) processor: Duration,
    pub(crate) resident_kb: u64,
    /// The most that was ever resident.
    pub(crate) resident_max_kb: u64,
    pub(crate) threads: u64,
    pub(crate) datagrams_out: u64,
    pub(crate) datagrams_in: u64,
    /// Datagrams for which a receive buffer had no room.
    pub(crate) datagrams_refused: u64,
    pub(crate) segments_out: u64,
    pub(crate) connections: u64,
    /// With the headers of IP, of both UDP and TCP.
    pub(crate) loopback_bytes: u64,
    pub(crate) loopback_packets: u64,
}

impl Sample {
    pub(crate) fn take() -> AnyResult<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let network = fs::read_to_string("/proc/self/net/snmp")?;
        let devices = fs::read_to_string("/proc/self/net/dev")?;
        let loopback = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
        let loopback: Vec<&str> = loopback.ok_or("no loopback")?.split_whitespace().collect();
        Ok(Self {
            processor: processor_time()?,
            resident_kb: status_value(&status, "VmRSS:")?,
            resident_max_kb: status_value(&status, "VmHWM:")?,
            threads: status_value(&status, "Threads:")?,
            datagrams_out: network_counter(&network, "Udp:", "OutDatagrams")?,
            datagrams_in: network_counter(&network, "Udp:", "InDatagrams")?,
            datagrams_refused: network_counter(&network, "Udp:", "RcvbufErrors")?,
            segments_out: network_counter(&network, "Tcp:", "OutSegs")?,
            connections: network_counter(&network, "Tcp:", "ActiveOpens")?,
            loopback_bytes: loopback[8].parse()?,
            loopback_packets: loopback[9].parse()?,
        })
    }
}

/// How often the threads that run now have been switched to.
pub(crate) fn context_switches() -> AnyResult<u64> {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        sum += status_value(&status, "voluntary_ctxt_switches:")?;
        sum += status_value(&status, "nonvoluntary_ctxt_switches:")?;
    }
    Ok(sum)
}

fn processor_time() -> AnyResult<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The program's name may hold spaces; what follows it does not. utime and stime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no name in stat")?.1.split_whitespace().collect();
    Ok(TICK * (fields[11].parse::<u32>()? + fields[12].parse::<u32>()?))
}

fn status_value(status: &str, key: &str) -> AnyResult<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let value = line.and_then(|line| line.split_whitespace().next());
    Ok(value.ok_or_else(|| format!("no {key} in status"))?.parse()?)
}

/// The first line of a protocol names its counters, the second one has them in the same order.
fn network_counter(network: &str, protocol: &str, counter: &str) -> AnyResult<u64> {
    let mut lines = network.lines().filter(|line| line.starts_with(protocol)).map(str::split_whitespace);
    let value = lines.next().zip(lines.next()).and_then(|(names, values)| {
        names.zip(values).find_map(|(name, value)| (name == counter).then_some(value))
    });
    Ok(value.ok_or_else(|| format!("no {protocol} {counter} in snmp"))?.parse()?)
}

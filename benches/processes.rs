//! Members as processes on the loopback, with the timings of a LAN: how they join, how they see a crash and a
//! pause, and what they cost while nothing happens.
//!
//!     cargo bench --bench processes            # 32 members, and 64 for the idle part
//!     cargo bench --bench processes -- 100     # 100 members
//!
//! Linux only: it reads /proc and sends signals with `kill`. Prints a table; the exit code tells whether
//! anything was reported that was not so.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

mod fleet;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitCode};
use std::time::Duration;

use fleet::{AnyResult, Fleet, Told, What, complaint, now, row, spread};

const MEMBERS: usize = 32;
const MEMBERS_IDLE: usize = 64;
const LIMIT: Duration = Duration::from_secs(60);
/// How long to go on watching for what must not come.
const AFTERMATH: Duration = Duration::from_secs(5);
const PAUSE_SECONDS: u32 = 20;
const IDLE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    fleet::main(|numbers| {
        let members = numbers.first().and_then(|members| usize::try_from(*members).ok()).unwrap_or(MEMBERS);
        Ok(complaint(measure(members)?))
    })
}

/// Returns how many things went otherwise than they should.
fn measure(members: usize) -> AnyResult<usize> {
    println!("{members} members as processes on the loopback, LAN profile (least / middle / greatest)\n");
    let mut fleet = start(members)?;
    let times = fleet.join_all(&name(0), LIMIT)?;
    row("all join one seed at once: until a view is complete", &spread(times));
    fleet.watch(AFTERMATH);

    let wrong = measure_crash(&mut fleet, members)? + measure_pause(&mut fleet, members - 1)?;
    drop(fleet);
    measure_idle()?;
    Ok(wrong)
}

fn name(index: usize) -> String {
    format!("m{index:03}")
}

fn start(members: usize) -> AnyResult<Fleet> {
    let mut fleet = Fleet::new();
    for index in 0..members {
        fleet.start(&[], &name(index), "127.0.0.1:0")?;
    }
    Ok(fleet)
}

/// The members' first word of this about that, since then.
fn first_times(log: &[Told], since: Duration, word: &str, about: &str) -> Vec<Duration> {
    let mut times = BTreeMap::new();
    for told in log.iter().filter(|told| told.at >= since && told.is_event(word, about)) {
        times.entry(told.by.as_str()).or_insert(told.at.saturating_sub(since));
    }
    times.into_values().collect()
}

fn measure_crash(fleet: &mut Fleet, members: usize) -> AnyResult<usize> {
    let (victim, survivors) = (name(members - 1), members - 1);
    let (since, from) = (now(), fleet.log.len());
    fleet.kill(&victim)?;
    fleet.wait(LIMIT, |fleet| first_times(&fleet.log, since, "died", &victim).len() == survivors);
    fleet.watch(AFTERMATH);

    let log = &fleet.log[from..];
    let suspected = first_times(log, since, "suspected", &victim);
    let died = first_times(log, since, "died", &victim);
    row("one is killed: until a survivor reports it suspected", &spread(suspected.clone()));
    row("one is killed: until a survivor reports it dead", &spread(died.clone()));
    row("  survivors that reported it suspected, dead", &format!("{}, {}", suspected.len(), died.len()));

    let events: Vec<&Told> = log.iter().filter(|told| matches!(told.what, What::Event { .. })).collect();
    let names = fleet.names();
    let one_story = names.iter().filter(|&by| {
        let said: Vec<&&Told> = events.iter().filter(|told| told.by == *by).collect();
        matches!(said[..], [first, second]
            if first.is_event("suspected", &victim) && second.is_event("died", &victim))
    });
    let wrong = survivors - one_story.count();
    row("  survivors that reported anything else, or not in that order", &wrong.to_string());
    Ok(wrong)
}

/// `members` are left, and the last of them is stopped for a while.
fn measure_pause(fleet: &mut Fleet, members: usize) -> AnyResult<usize> {
    let victim = name(members - 1);
    let from = fleet.log.len();
    // A process of its own, so that the stopped one goes on whatever becomes of this program.
    let script = format!("kill -STOP $0 && sleep {PAUSE_SECONDS} && kill -CONT $0");
    let mut pause = Command::new("sh").args(["-c", &script, &fleet.pid(&victim)?.to_string()]).spawn()?;
    while pause.try_wait()?.is_none() {
        fleet.watch(Duration::from_millis(5));
    }
    let equal = fleet.wait_for_equal_views(members, now(), LIMIT)?;

    let log = &fleet.log[from..];
    let count = |is_it: &dyn Fn(&str, &str) -> bool| {
        let of_log = log
            .iter()
            .filter(|told| matches!(&told.what, What::Event { word, about, .. } if is_it(word, about)));
        of_log.count()
    };
    let dead = count(&|word, about| word == "died" && about != victim);
    let others = count(&|_, about| about != victim);
    let suspected = count(&|word, about| word == "suspected" && about == victim);
    let buried = count(&|word, about| word == "died" && about == victim);
    let back = count(&|word, about| matches!(word, "joined" | "recovered" | "moved") && about == victim);
    let restarted = count(&|word, about| word == "restarted" && about == victim);
    row(&format!("one is stopped for {PAUSE_SECONDS} s: healthy nodes reported dead"), &dead.to_string());
    row("  any reports about healthy nodes", &others.to_string());
    row(
        "  reports of the stopped one: suspected, dead, back, restarted",
        &format!("{suspected}, {buried}, {back}, {restarted}"),
    );
    row(
        "  from its going on until all views are equal",
        &equal.map_or("never".into(), |time| format!("{:.3} s", time.as_secs_f64())),
    );
    Ok(dead + restarted + usize::from(equal.is_none()))
}

fn measure_idle() -> AnyResult<()> {
    let mut fleet = start(MEMBERS_IDLE)?;
    fleet.join_all(&name(0), LIMIT)?;
    fleet.watch(AFTERMATH);

    let pids = fleet.names().iter().map(|name| fleet.pid(name)).collect::<AnyResult<Vec<u32>>>()?;
    let sent = fleet.sent()?;
    let (switches, ticks) = (context_switches(&pids)?, processor_ticks(&pids)?);
    fleet.watch(IDLE);
    let (switches, ticks) = (context_switches(&pids)? - switches, processor_ticks(&pids)? - ticks);
    let sent_until = fleet.sent()?;

    #[expect(clippy::cast_precision_loss, reason = "counters far below 2^52")]
    let per_second = |count: u64| count as f64 / IDLE.as_secs_f64() / MEMBERS_IDLE as f64;
    println!("\n{MEMBERS_IDLE} members, converged, {} s of nothing, per member and second\n", IDLE.as_secs());
    row("voluntary context switches", &format!("{:.1}", per_second(switches)));
    row("processor time", &format!("{:.2} ms", per_second(ticks) * 10.0));
    row("datagrams sent", &format!("{:.1}", per_second(sent_until.0 - sent.0)));
    row("bytes sent", &format!("{:.0}", per_second(sent_until.1 - sent.1)));
    Ok(())
}

/// Over all threads of these processes.
fn context_switches(pids: &[u32]) -> AnyResult<u64> {
    let mut sum = 0;
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            sum += line.ok_or("no voluntary_ctxt_switches")?.trim().parse::<u64>()?;
        }
    }
    Ok(sum)
}

/// User and system time of these processes, in hundredths of a second.
fn processor_ticks(pids: &[u32]) -> AnyResult<u64> {
    let mut sum = 0;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The program's name may hold spaces; what follows it does not. utime and stime are fields 14 and 15.
        let fields: Vec<&str> =
            stat.rsplit_once(')').ok_or("no name in stat")?.1.split_whitespace().collect();
        sum += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    }
    Ok(sum)
}

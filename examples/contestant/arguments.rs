//! The command line, and the timings that it stands for.

use std::str::FromStr;
use std::time::Duration;

use headcount::Config;
use headcount::transport::Tcp;

pub(crate) const HELP: &str = "\
Many members in one process, measured. Prints one line of JSON.

usage: contestant [--OPTION VALUE ...]

  --members N           how many members (16)
  --profile lan|local   probes every 1 s that wait for 500 ms, or every 200 ms that wait for 100 ms (lan)
  --scenario A,B,..     besides `converge`, which is always the first: steady, idle, kv, detect
  --seed S              chooses victims, writers and pauses (1)
  --base-port P         member i is 127.0.0.1:(P + i) (20000)
  --join-spread SECS    0: all join member 0 at the same moment; else each at a random one within that time (0)
  --converge-timeout    gives up waiting for complete views, in seconds (45)
  --settle-secs         before `steady` begins (5)
  --steady-secs         how long it is measured (20)
  --idle-secs           how long `idle` is (60)
  --kv-reps             how often a value is changed (10)
  --warm-secs           before the first member is killed (3)
  --detect-reps         how many members are killed (5)
  --step-timeout        how long a death may take to be noticed (40)
  --max-secs            ends by itself by then (115)
  --variant V           tcp: members talk over TCP; empty: UDP";

/// Which timings the members have.
///
/// Intervals and timeouts of probes are given from outside, the same for all libraries that are compared. The rest is
/// what the profile of that name has: in particular `gossip_interval` is here not the beat of a clock by which news
/// leave, but the least pause between two rounds of the same news, so that of others is not comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Lan,
    Local,
}

impl Profile {
    pub(crate) fn config(self) -> Config {
        match self {
            Self::Lan => Config::lan().probe_interval(self.probe_interval()),
            Self::Local => Config::local().probe_interval(self.probe_interval()),
        }
        .probe_timeout(self.probe_timeout())
    }

    pub(crate) fn probe_interval(self) -> Duration {
        match self {
            Self::Lan => Duration::from_secs(1),
            Self::Local => Duration::from_millis(200),
        }
    }

    fn probe_timeout(self) -> Duration {
        self.probe_interval() / 2
    }

    /// Writers pause up to twice this long between two values, so that they meet all phases of libraries whose news
    /// leave by a clock of this beat.
    pub(crate) fn beat(self) -> Duration {
        match self {
            Self::Lan => Duration::from_millis(200),
            Self::Local => Duration::from_millis(100),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Local => "local",
        }
    }
}

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) members: usize,
    pub(crate) profile: Profile,
    pub(crate) scenarios: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) base_port: u16,
    pub(crate) join_spread: Duration,
    pub(crate) converge_timeout: Duration,
    pub(crate) settle: Duration,
    pub(crate) steady: Duration,
    pub(crate) idle: Duration,
    pub(crate) kv_reps: u64,
    pub(crate) warm: Duration,
    pub(crate) detect_reps: usize,
    pub(crate) step_timeout: Duration,
    pub(crate) max: Duration,
    pub(crate) variant: String,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            members: 16,
            profile: Profile::Lan,
            scenarios: vec!["converge".to_owned()],
            seed: 1,
            base_port: 20_000,
            join_spread: Duration::ZERO,
            converge_timeout: Duration::from_secs(45),
            settle: Duration::from_secs(5),
            steady: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            kv_reps: 10,
            warm: Duration::from_secs(3),
            detect_reps: 5,
            step_timeout: Duration::from_secs(40),
            max: Duration::from_secs(115),
            variant: String::new(),
        }
    }
}

impl Arguments {
    /// None: help is wanted.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut arguments = Self::default();
        while let Some(option) = words.next() {
            if matches!(option.as_str(), "--help" | "-h") {
                return Ok(None);
            }
            let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
            arguments.take(&option, &value)?;
        }
        if arguments.members < 2 {
            return Err("--members: two at least".to_owned());
        }
        Ok(Some(arguments))
    }

    fn take(&mut self, option: &str, value: &str) -> Result<(), String> {
        match option {
            "--members" => self.members = number(option, value)?,
            "--profile" => {
                self.profile = match value {
                    "lan" => Profile::Lan,
                    "local" => Profile::Local,
                    _ => return Err(format!("--profile {value}: lan or local")),
                };
            }
            "--scenario" => {
                self.scenarios = value.split(',').map(str::to_owned).collect();
                let known = ["converge", "steady", "idle", "kv", "detect"];
                if let Some(other) = self.scenarios.iter().find(|name| !known.contains(&name.as_str())) {
                    return Err(format!("--scenario {other}: one of {}", known.join(", ")));
                }
            }
            "--seed" => self.seed = number(option, value)?,
            "--base-port" => self.base_port = number(option, value)?,
            "--join-spread" => self.join_spread = seconds(option, value)?,
            "--converge-timeout" => self.converge_timeout = seconds(option, value)?,
            "--settle-secs" => self.settle = seconds(option, value)?,
            "--steady-secs" => self.steady = seconds(option, value)?,
            "--idle-secs" => self.idle = seconds(option, value)?,
            "--kv-reps" => self.kv_reps = number(option, value)?,
            "--warm-secs" => self.warm = seconds(option, value)?,
            "--detect-reps" => self.detect_reps = number(option, value)?,
            "--step-timeout" => self.step_timeout = seconds(option, value)?,
            "--max-secs" => self.max = seconds(option, value)?,
            "--variant" => match value {
                "" | "tcp" => self.variant = value.to_owned(),
                _ => return Err(format!("--variant {value}: tcp or nothing")),
            },
            _ => return Err(format!("there is no option {option}")),
        }
        Ok(())
    }

    /// The settings of a member, without its name and listener.
    pub(crate) fn config(&self, index: usize) -> Config {
        let config = self.profile.config().bind(format!("127.0.0.1:{}", self.port(index)));
        if self.variant == "tcp" { config.transport(Tcp::new()) } else { config }
    }

    pub(crate) fn port(&self, index: usize) -> usize {
        usize::from(self.base_port) + index
    }

    pub(crate) fn has(&self, scenario: &str) -> bool {
        self.scenarios.iter().any(|name| name == scenario)
    }
}

fn number<T: FromStr>(option: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{option} {value}: not a number that it can have"))
}

fn seconds(option: &str, value: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number(option, value)?).map_err(|error| format!("{option} {value}: {error}"))
}

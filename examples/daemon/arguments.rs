//! What the daemon is told on its command line.

use std::path::PathBuf;

use headcount::{Config, discovery::Multicast};

pub(crate) const HELP: &str = "\
A member of a cluster that answers questions of programs that are none.

usage: daemon --name NAME --ask PLACE [--bind ADDR] [--cluster CLUSTER] [--seed SEED ...] [--multicast]
              [--snapshot FILE] [--key FILE] [--profile lan|wan|local] [--detach PIDFILE]

  --name      unique in the cluster
  --ask       where questions are answered: \"127.0.0.1:7900\", or the path of a Unix socket with a \"/\" in it
  --bind      where the member receives (default: that of the profile)
  --cluster   only members of a cluster of the same name talk to each other
  --seed      address of another member; may be given several times
  --multicast finds the others of the same network by itself
  --snapshot  where to keep what it takes to come back after a crash without a seed
  --key       file with the key of the cluster, 64 hex digits (built with --features encryption)
  --profile   how far the members are apart (default: lan)
  --detach    go to the background when all is running, and write the process id there

Questions are lines, each answered by lines and an empty one:

  nodes          the active nodes
  all            all nodes, the dead and the left included
  node NAME      one node, and its keys and values
  get NAME KEY   one value
  metrics        the counters, in the text format of Prometheus";

pub(crate) struct Arguments {
    pub(crate) config: Config,
    pub(crate) ask: String,
    pub(crate) detach: Option<PathBuf>,
}

impl Arguments {
    /// None if help is wanted.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut profile: fn() -> Config = Config::lan;
        let (mut name, mut ask, mut bind, mut cluster, mut detach) = (None, None, None, None, None);
        let (mut snapshot, mut key, mut multicast) = (None, None, false);
        let mut seeds = Vec::new();
        while let Some(word) = words.next() {
            if word == "--help" || word == "-h" {
                return Ok(None);
            }
            if word == "--multicast" {
                multicast = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--name" => name = Some(value),
                "--ask" => ask = Some(value),
                "--bind" => bind = Some(value),
                "--cluster" => cluster = Some(value),
                "--seed" => seeds.push(value),
                "--snapshot" => snapshot = Some(value),
                "--key" => key = Some(value),
                "--detach" => detach = Some(PathBuf::from(value)),
                "--profile" => {
                    profile = match value.as_str() {
                        "lan" => Config::lan,
                        "wan" => Config::wan,
                        "local" => Config::local,
                        _ => return Err(format!("{value:?} is no profile")),
                    };
                }
                _ => return Err(format!("{word:?} is no option")),
            }
        }
        let mut config = profile().seeds(seeds).name(name.ok_or("--name is needed")?);
        if let Some(bind) = bind {
            config = config.bind(bind);
        }
        if let Some(cluster) = cluster {
            config = config.cluster(cluster);
        }
        if let Some(snapshot) = snapshot {
            config = config.snapshot(snapshot);
        }
        if multicast {
            config = config.discovery(Multicast::new());
        }
        if let Some(key) = key {
            config = with_key(config, &key)?;
        }
        let ask = ask.ok_or("--ask is needed")?;
        Ok(Some(Self { config, ask, detach }))
    }
}

#[cfg(feature = "encryption")]
fn with_key(config: Config, file: &str) -> Result<Config, String> {
    let key = headcount::Key::from_file(file).map_err(|error| error.to_string())?;
    Ok(config.keyring(headcount::Keyring::new(key)))
}

#[cfg(not(feature = "encryption"))]
fn with_key(_config: Config, _file: &str) -> Result<Config, String> {
    Err("--key needs a build with --features encryption".to_owned())
}

//! A daemon: it takes part in the cluster on behalf of a host, and answers whoever asks who else is there.
//!
//!     cargo run --example daemon -- --name web-1 --bind 127.0.0.1:7990 --ask 127.0.0.1:7900
//!     cargo run --example daemon -- --name web-2 --bind 127.0.0.1:7991 --ask /tmp/web-2.sock --seed 127.0.0.1:7990
//!     echo nodes | nc -q 1 127.0.0.1 7900
//!
//! Programs that are no members, in whatever language, ask in lines of text, see [`answers`]. Who may ask is up to
//! the address: the loopback lets in who is on this host, the path of a Unix socket lets in whom the directory does.
//!
//! It leaves the cluster when it gets SIGTERM or SIGINT (Ctrl-C), and logs its view when it gets SIGHUP. With
//! `--detach` it goes to the background as soon as it runs; under a supervisor such as systemd leave that out.
//! `RUST_LOG=headcount=info` logs what happens.

#[cfg(unix)]
mod answers;
#[cfg(unix)]
mod arguments;
#[cfg(unix)]
mod detach;

#[cfg(unix)]
mod daemon {
    use std::process::ExitCode;
    use std::time::Duration;
    use std::{env, thread};

    use headcount::Member;
    use headcount::crossbeam_channel::{Receiver, select, unbounded};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    use super::answers;
    use super::arguments::{Arguments, HELP};
    use super::detach::{self, PidFile};

    pub(crate) type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

    /// How long the others have to hear that we leave.
    const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "it was started from a terminal")]
    pub(crate) fn main() -> ExitCode {
        let arguments = match Arguments::parse(env::args().skip(1)) {
            Ok(Some(arguments)) => arguments,
            Ok(None) => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            Err(mistake) => {
                eprintln!("{mistake}\n\n{HELP}");
                return ExitCode::from(2);
            }
        };
        let result = match &arguments.detach {
            Some(_) if !detach::is_detached() => detach::start(),
            _ => run(arguments),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(arguments: Arguments) -> AnyResult<()> {
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
        // Before anything is running, so that no signal comes too early.
        let signals = signals()?;
        let pid_file = arguments.detach.as_deref().map(PidFile::claim).transpose()?;
        let place = answers::Place::open(&arguments.ask)?;
        let member = Member::create(arguments.config).inspect_err(|_| place.close())?;
        let events = member.events();
        log::info!("{} runs at {} and answers at {place}", member.name(), member.addr());
        let asked = member.clone();
        let answering = place.clone();
        thread::Builder::new().name("answers".to_owned()).spawn(move || answering.serve(&asked))?;
        if pid_file.is_some() {
            detach::tell_ready()?;
        }

        loop {
            select! {
                recv(signals) -> signal => match signal? {
                    SIGHUP => member.all_nodes().iter().for_each(|node| log::info!("{node}")),
                    signal => {
                        log::info!("signal {signal}: leaving");
                        break;
                    }
                },
                recv(events) -> event => match event {
                    // The library logs it.
                    Ok(_) => {}
                    // It has ended by itself: another run has its name, or one of its threads has failed.
                    Err(_) => break,
                },
            }
        }
        place.close();
        drop(pid_file);
        // An error if the member has ended by itself.
        member.wait_until(Duration::ZERO, |_| true)?;
        member.leave(LEAVE_TIMEOUT)?;
        log::info!("left");
        Ok(())
    }

    /// The signals as a channel. A signal handler may do next to nothing; here a thread waits for what it has noted.
    fn signals() -> AnyResult<Receiver<i32>> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        let (sender, receiver) = unbounded();
        let forward = move || signals.forever().try_for_each(|signal| sender.send(signal).ok());
        thread::Builder::new().name("signals".to_owned()).spawn(forward)?;
        Ok(receiver)
    }
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    daemon::main()
}

#[cfg(not(unix))]
#[expect(clippy::print_stderr, reason = "it was started from a terminal")]
fn main() {
    eprintln!("this example needs Unix: it is about its signals, sockets and daemons");
}

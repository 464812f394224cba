//! The benchmark itself: starts the server, runs each client of each case in turn, lets the server judge, writes tables.

use super::alarm::{cpu_ns, now_ns};
use super::answer::Answer;
use super::bare::Claim;
use super::judge::Truth;
use super::options::Options;
use super::ours::{self, Load};
use super::process::{self, Guard, Ran};
use super::table::{self, Column, Figures, Tool};
use super::{case_closed, case_open, machine, peers};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What runs a load.
#[derive(Clone, Debug)]
pub enum Kind {
    /// plimsoll.
    Ours(Load),
    /// A bare loop: `closed` or `open`, its work, and the rest of its command line.
    Bare(&'static str, &'static str, Vec<String>),
    /// Another tool: its command line and environment.
    Peer(Vec<String>, Vec<(String, String)>),
}

/// A client of a case.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name in tables.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// A case with everything needed to run and to print it.
pub struct Case {
    /// Heading.
    pub title: String,
    /// What the reader should know.
    pub about: String,
    /// How the server answers.
    pub answer: Answer,
    /// The first one is the one that ratios are of.
    pub clients: Vec<Client>,
    /// Longest time of one run.
    pub limit: Duration,
    /// What is shown.
    pub columns: &'static [Column],
    /// What is drawn from a run.
    pub figures: Box<dyn Fn(&Measured) -> Figures>,
}

/// One run of one client, and what the server saw of it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Of the process.
    pub ran: Ran,
    /// Of the server.
    pub truth: Truth,
    /// Of the client itself; peers make none that we read.
    pub claim: Option<Claim>,
    /// Cores that were busy with something else meanwhile: whoever else uses this machine spoils the figures.
    pub others: f64,
}

/// The server, and where things are.
pub struct Stage {
    /// The options.
    pub options: Options,
    /// The server's port.
    pub port: u16,
    /// Folder for what runs write; removed in the end.
    pub folder: PathBuf,
    home: Vec<usize>,
    _server: Guard,
}

/// Runs what the options ask for.
pub fn main(args: &[String]) -> Result<(), String> {
    let options = Options::parse(args)?;
    let mut text = head(&options, args);
    let stage = Stage::start(options)?;
    for name in stage.options.cases.clone() {
        let cases = match name.as_str() {
            "a" | "b" | "c" | "e" => vec![case_closed::case(&name, &stage)],
            "peers" => peers::cases(&stage)?,
            _ => case_open::cases(&name, &stage),
        };
        for case in &cases {
            let section = stage.run_case(case);
            println!("{section}");
            text.push_str(&section);
            if let Some(path) = &stage.options.markdown {
                // Written after every case: a run that is stopped keeps what it has.
                std::fs::write(path, &text).map_err(|e| format!("{}: {e}", path.display()))?;
            }
        }
    }
    Ok(())
}

fn head(options: &Options, args: &[String]) -> String {
    let facts: Vec<String> = machine::describe().iter().map(|(what, value)| format!("- {what}: {value}")).collect();
    let text = format!(
        "## Whole client against a null server\n\n```\ncargo bench --bench whole_client -- {}\n```\n\n{}\n\
         - server on core {}, client with all its processes on core {}; medians [least..most] of {} repetitions, tools interleaved; \
         rates by the server's log over the middle 80 % of the time; `ours / it` is plimsoll's figure over the tool's, repetition by repetition; `others' cores` were busy with something else meanwhile and should be 0\n\n",
        args.join(" "),
        facts.join("\n"),
        options.server_core,
        options.client_core,
        options.repeat
    );
    println!("{text}");
    text
}

impl Stage {
    fn start(options: Options) -> Result<Self, String> {
        process::raise_open_files();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let others: Vec<usize> = (0..cores).filter(|c| *c != options.server_core && *c != options.client_core).collect();
        // What watches stays away from the client; with two cores it lives beside the server.
        let home = if others.is_empty() { vec![options.server_core] } else { others };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("whole-client-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        process::pin(&[options.server_core])?;
        let exe = std::env::current_exe().map_err(|e| e.to_string())?;
        let server = Command::new(exe).arg("serve").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|e| format!("server: {e}"))?;
        process::pin(&home)?;
        let mut server = Guard(server);
        let mut line = String::new();
        let out = server.0.stdout.take().ok_or("the server has no output")?;
        BufReader::new(out).read_line(&mut line).map_err(|e| format!("server: {e}"))?;
        let port = line.trim().parse().map_err(|_| "the server did not start".to_owned())?;
        Ok(Self { options, port, folder, home, _server: server })
    }

    /// The base URL that makes the server answer so.
    pub fn url(&self, answer: Answer) -> String {
        format!("http://127.0.0.1:{}{}", self.port, answer.prefix())
    }

    fn control(&self, what: &str) -> Result<Vec<u8>, String> {
        let ask = || -> std::io::Result<Vec<u8>> {
            let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
            socket.set_read_timeout(Some(Duration::from_mins(1)))?;
            write!(socket, "GET /control/{what} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
            let mut reply = Vec::new();
            socket.read_to_end(&mut reply)?;
            Ok(reply)
        };
        let reply = ask().map_err(|e| format!("the server does not answer: {e}"))?;
        let body = reply.windows(4).position(|w| w == b"\r\n\r\n").ok_or("the server answered nonsense")?;
        Ok(reply[body + 4..].to_vec())
    }

    /// Waits until no stream is open, at most ten seconds.
    fn settle(&self) -> Result<(), String> {
        for _ in 0..100 {
            if self.control("open")? == b"0" {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("streams of the run before are still open".to_owned())
    }

    fn measure(&self, case: &Case, client: &Client, repetition: usize) -> Result<Measured, String> {
        self.settle()?;
        let out = self.folder.join("out");
        let (command, env) = match &client.kind {
            Kind::Ours(load) => (ours::command(load, &self.url(case.answer), &out, repetition + 1), Vec::new()),
            Kind::Bare(mode, work, rest) => {
                let exe = std::env::current_exe().map_err(|e| e.to_string())?;
                let fixed = [
                    exe.display().to_string(),
                    "bare".to_owned(),
                    (*mode).to_owned(),
                    (*work).to_owned(),
                    self.port.to_string(),
                    case.answer.prefix(),
                ];
                (fixed.into_iter().chain(rest.iter().cloned()).collect(), Vec::new())
            }
            Kind::Peer(command, env) => (command.clone(), env.clone()),
        };
        self.control("reset")?;
        let before = (machine::busy_s(), now_ns(), cpu_ns());
        let ran = process::run(&command, self.options.client_core, &self.home, case.limit, &self.folder.join("run"), &env)?;
        let truth: Truth = serde_json::from_slice(&self.control("truth")?).map_err(|e| format!("the server's log: {e}"))?;
        let mine = ran.cpu_s + truth.cpu_s + (cpu_ns() - before.2) as f64 / 1e9;
        let others = ((machine::busy_s() - before.0 - mine) / ((now_ns() - before.1) as f64 / 1e9)).max(0.0);
        let claim = match &client.kind {
            Kind::Ours(_) => Some(ours::claim(&out).map_err(|e| format!("{e}; exit {}: {}", ran.code, ran.stderr))?),
            Kind::Bare(..) => Some(serde_json::from_str(&ran.stdout).map_err(|e| format!("{e}; exit {}: {}", ran.code, ran.stderr))?),
            Kind::Peer(..) => None,
        };
        Ok(Measured { ran, truth, claim, others })
    }

    fn run_case(&self, case: &Case) -> String {
        eprintln!("-- {}", case.title);
        let mut tools: Vec<Tool> = case.clients.iter().map(|c| Tool { name: c.name.clone(), runs: Vec::new() }).collect();
        let mut notes = Vec::new();
        for repetition in 0..self.options.repeat {
            for turn in 0..case.clients.len() {
                // Each repetition begins with another tool, so that none always runs on a machine at rest.
                let which = (turn + repetition) % case.clients.len();
                let client = &case.clients[which];
                let figures = match self.measure(case, client, repetition) {
                    Ok(measured) => {
                        notes.extend(remarks(&client.name, &measured));
                        if measured.truth.requests == 0 { Figures::new() } else { (case.figures)(&measured) }
                    }
                    Err(why) => {
                        notes.push(format!("{}: {why}", client.name));
                        Figures::new()
                    }
                };
                eprintln!("   {} {}: {figures:.3?}", repetition + 1, client.name);
                tools[which].runs.push(figures);
            }
        }
        notes.dedup();
        let notes: Vec<String> = notes.iter().map(|note| format!("- {note}")).collect();
        let table = table::markdown(case.columns, &tools);
        format!("### {}\n\n{}\n\n{table}\n{}\n\n", case.title, case.about, notes.join("\n"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a reader must know of a run besides its figures.
fn remarks(name: &str, measured: &Measured) -> Vec<String> {
    let Measured { ran, truth, claim, .. } = measured;
    let mut notes = Vec::new();
    if let Some(claim) = claim {
        if !claim.verdict.is_empty() {
            notes.push(format!("{name} says of its run: {}", claim.verdict));
        }
        if claim.ok != truth.finished {
            notes.push(format!("{name} recorded {} good answers, the server finished {}", claim.ok, truth.finished));
        }
    } else if ran.code != 0 {
        let tail: String = ran.stderr.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or_default().chars().take(160).collect();
        notes.push(format!("{name} ended with code {}: {tail}", ran.code));
    }
    notes
}

//! Cases a, b, d and e for other tools, on the same server and by the same judge; a tool that is not there is named as absent.

use super::answer::{Answer, body};
use super::bench::{Case, Client, Kind, Measured, Stage};
use super::case_closed::{self, OVERHEAD, REPLIES, TOKENS};
use super::case_open::{CONSTANT_BY_SERVER, POISSON_BY_SERVER, arrivals_and_errors};
use super::ours::Load;
use super::peers_llm;
use super::table::{Column, Figures};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a tool is asked to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// Base URL; the path of the API follows.
    pub base: String,
    /// How the server answers.
    pub answer: Answer,
    /// Requests at once, for closed loops.
    pub users: u32,
    /// Seconds, for tools that can end by time.
    pub seconds: u32,
    /// Requests, for tools that end by number, and for e.
    pub requests: u32,
    /// Whether the number is what matters.
    pub by_number: bool,
    /// Law and requests a second, for open loops.
    pub rate: Option<(&'static str, u32)>,
    /// Folder for files, of this job alone.
    pub folder: PathBuf,
    /// Folder of the tokenizer and the model hub's cache that `peers.sh` made.
    pub home: PathBuf,
}

impl Job {
    /// Where requests go.
    pub fn url(&self) -> String {
        format!("{}/v1/chat/completions", self.base)
    }

    /// Writes a file that a tool wants.
    pub fn file(&self, name: &str, text: &str) -> Result<String, String> {
        let path = self.folder.join(name);
        std::fs::create_dir_all(&self.folder).map_err(|e| format!("{}: {e}", self.folder.display()))?;
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path.display().to_string())
    }
}

/// A command line with its environment; `None` if the tool cannot do this job.
pub type Line = Option<(Vec<String>, Vec<(String, String)>)>;

type Maker = fn(&Job) -> Result<Line, String>;

const PEERS: [(&str, Maker); 10] = [
    ("oha", oha),
    ("wrk", wrk),
    ("hey", hey),
    ("h2load", h2load),
    ("ab", ab),
    ("locust", peers_llm::locust),
    ("evalscope", peers_llm::evalscope),
    ("inference-perf", peers_llm::inference_perf),
    ("aiperf", peers_llm::aiperf),
    ("guidellm", peers_llm::guidellm),
];

/// Words to arguments.
pub fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Where a tool is: the folder of peers first, then the PATH.
fn find(name: &str, folder: Option<&Path>) -> Option<PathBuf> {
    let own = folder.into_iter().flat_map(|f| [f.join("bin"), f.join(format!("venv-{name}/bin"))]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.chain(std::env::split_paths(&path)).map(|f| f.join(name)).find(|p| p.is_file())
}

/// The cases that peers take part in.
pub fn cases(stage: &Stage) -> Result<Vec<Case>, String> {
    let quick = stage.options.quick;
    let span = if quick { 4 } else { 10 };
    let base = |answer: Answer| stage.url(answer);
    let job = |answer: Answer| Job {
        base: base(answer),
        answer,
        users: 64,
        seconds: span,
        requests: 640,
        by_number: false,
        rate: None,
        // One a case: every command line is made before the first one runs.
        folder: stage.folder.join(format!("peers{}", answer.prefix().replace('/', "-"))),
        home: stage.options.peers.clone().unwrap_or_default(),
    };
    let set = |changes: &[String]| changes.to_vec();
    let measure = format!("load.measure={span}s");
    let mut all = Vec::new();
    let small = Job { requests: 2000, ..job(Answer::JSON) };
    all.push(case(
        stage,
        "Peers, a. Small JSON replies, 64 at once",
        &small,
        "a.toml",
        set(std::slice::from_ref(&measure)),
        REPLIES,
        Box::new(case_closed::throughput),
    )?);
    let flood = job(Answer::flood(512, 1));
    all.push(case(
        stage,
        "Peers, b. 64 streams of 512 tokens, one event a write",
        &flood,
        "b.toml",
        set(&[measure]),
        TOKENS,
        Box::new(case_closed::throughput),
    )?);
    for &(rate, seconds) in if quick { &[(200_u32, 5_u32)][..] } else { &[(50, 20), (200, 10), (1000, 10)] } {
        for law in ["poisson", "constant"] {
            let answer = Answer::paced(32, 50_000, 10_000);
            let job = Job {
                rate: Some((law, rate)),
                seconds,
                requests: rate * seconds,
                folder: stage.folder.join(format!("peers-{law}-{rate}")),
                ..job(answer)
            };
            let changes = [format!("load.arrivals={{ {law} = {{ rate = \"{rate}/s\" }} }}"), format!("load.measure={seconds}s")];
            let columns = if law == "poisson" { POISSON_BY_SERVER } else { CONSTANT_BY_SERVER };
            let title = format!("Peers, d. Open loop, {law}, {rate} requests/s of 32 paced tokens");
            let figures = move |m: &Measured| arrivals_and_errors(m, f64::from(rate));
            all.push(case(stage, &title, &job, "d.toml", set(&changes), columns, Box::new(figures))?);
        }
    }
    let overhead = Job { users: 16, requests: 200, by_number: true, ..job(Answer::flood(32, 1)) };
    all.push(case(
        stage,
        "Peers, e. 200 requests of 32 tokens, 16 at once",
        &overhead,
        "e.toml",
        Vec::new(),
        OVERHEAD,
        Box::new(case_closed::overhead),
    )?);
    Ok(all)
}

fn case(
    stage: &Stage,
    title: &str,
    job: &Job,
    scenario: &'static str,
    set: Vec<String>,
    columns: &'static [Column],
    figures: Box<dyn Fn(&Measured) -> Figures>,
) -> Result<Case, String> {
    let mut clients = vec![Client { name: "**plimsoll**".to_owned(), kind: Kind::Ours(Load { scenario, set }) }];
    let (mut absent, mut unable) = (Vec::new(), Vec::new());
    let only = &stage.options.only;
    for (name, maker) in PEERS.into_iter().filter(|(name, _)| only.is_empty() || only.iter().any(|o| o == name)) {
        let Some(program) = find(name, stage.options.peers.as_deref()) else {
            absent.push(name);
            continue;
        };
        match maker(job)? {
            Some((arguments, env)) => {
                let command = std::iter::once(program.display().to_string()).chain(arguments).collect();
                clients.push(Client { name: name.to_owned(), kind: Kind::Peer(command, env) });
            }
            None => unable.push(name),
        }
    }
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let about = format!("Judged by the server's log alone. Cannot do this: {}. Absent here: {}.", list(&unable), list(&absent));
    Ok(Case { title: title.to_owned(), about, answer: job.answer, clients, limit: Duration::from_mins(4), columns, figures })
}

#[expect(clippy::unnecessary_wraps, reason = "ends functions that may fail or may be unable")]
fn plain(line: Vec<String>) -> Result<Line, String> {
    Ok(Some((line, Vec::new())))
}

fn oha(job: &Job) -> Result<Line, String> {
    let mut line = words("--no-tui -m POST -T application/json");
    line.extend(["-d".to_owned(), body(job.answer)]);
    match job.rate {
        Some(("constant", rate)) => line.extend(words(&format!("-z {}s -q {rate} -c {}", job.seconds, rate / 2 + 16))),
        Some(_) => return Ok(None),
        None if job.by_number => line.extend(words(&format!("-n {} -c {}", job.requests, job.users))),
        None => line.extend(words(&format!("-z {}s -c {}", job.seconds, job.users))),
    }
    line.push(job.url());
    plain(line)
}

fn wrk(job: &Job) -> Result<Line, String> {
    if job.rate.is_some() || job.by_number {
        return Ok(None);
    }
    let script = format!("wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\nwrk.body = [[{}]]\n", body(job.answer));
    let mut line = words(&format!("-t1 -c{} -d{}s -s", job.users, job.seconds));
    line.extend([job.file("post.lua", &script)?, job.url()]);
    plain(line)
}

fn hey(job: &Job) -> Result<Line, String> {
    if job.rate.is_some() {
        return Ok(None);
    }
    let mut line = words(&format!("-cpus 1 -c {} -m POST -T application/json", job.users));
    line.extend(if job.by_number { words(&format!("-n {}", job.requests)) } else { words(&format!("-z {}s", job.seconds)) });
    line.extend(["-d".to_owned(), body(job.answer), job.url()]);
    plain(line)
}

fn h2load(job: &Job) -> Result<Line, String> {
    if job.rate.is_some() {
        return Ok(None);
    }
    let end = if job.by_number { format!("-n{}", job.requests) } else { format!("-D{}", job.seconds) };
    let mut line = words(&format!("--h1 -c{} {end} -H content-type:application/json -d", job.users));
    line.extend([job.file("body.json", &body(job.answer))?, job.url()]);
    plain(line)
}

/// Reads no chunked streams: HTTP/1.0 with keep-alive, so only replies with a length.
fn ab(job: &Job) -> Result<Line, String> {
    if job.rate.is_some() || job.answer.tokens > 0 {
        return Ok(None);
    }
    let mut line = words(&format!("-q -k -c {} -t {} -n 10000000 -T application/json -p", job.users, job.seconds));
    line.extend([job.file("body.json", &body(job.answer))?, job.url()]);
    plain(line)
}

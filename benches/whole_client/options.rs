//! The options of the benchmark.

use std::path::PathBuf;

/// How the benchmark is told what to do.
pub const USAGE: &str = "cargo bench --bench whole_client -- [CASES...] [OPTIONS]

cases: a  small JSON replies, 64 connections        d    open loop at 50, 200, 1,000, 5,000 req/s, Poisson and constant
       b  64 streams of 512 tokens, one a write     e    200 requests of 32 tokens: overhead around the work
       c  the same, 32 a write                      f    100, 1,000, 5,000 paced streams at 50 and 100 tok/s
       rss  memory at 64, 1,400, 10,000 streams     peers  other tools on a, b, d, e as far as they are installed
       none named: a b c d e f rss

--repeat N         repetitions of each tool, interleaved [default: 3; 1 with --quick]
--quick            shorter runs; of d only 1,000 req/s, of f only 100 and 1,000 streams at 50 tok/s, of rss without 10,000
--markdown FILE    writes the tables there as well
--cores S,C        core of the server, core of the client [default: 0,1]
--peers DIR        where peers live beside the PATH: DIR/bin, DIR/venv-NAME/bin [default: $PLIMSOLL_PEERS]
--only NAMES       of the peers only these, separated by commas";

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of cases, in order.
    pub cases: Vec<String>,
    /// Repetitions.
    pub repeat: usize,
    /// Shorter.
    pub quick: bool,
    /// File for the tables.
    pub markdown: Option<PathBuf>,
    /// Core of the server.
    pub server_core: usize,
    /// Core of the client.
    pub client_core: usize,
    /// Folder of peers.
    pub peers: Option<PathBuf>,
    /// Peers to run; empty for all of them.
    pub only: Vec<String>,
}

const CASES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "rss", "peers"];

impl Options {
    /// From the command line.
    pub fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            cases: Vec::new(),
            repeat: 0,
            quick: false,
            markdown: None,
            server_core: 0,
            client_core: 1,
            peers: std::env::var_os("PLIMSOLL_PEERS").map(PathBuf::from),
            only: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().cloned().ok_or_else(|| format!("{arg} wants a value\n\n{USAGE}"));
            match arg.as_str() {
                "--repeat" => options.repeat = value()?.parse().map_err(|e| format!("--repeat: {e}"))?,
                "--quick" => options.quick = true,
                "--markdown" => options.markdown = Some(value()?.into()),
                "--peers" => options.peers = Some(value()?.into()),
                "--only" => options.only = value()?.split(',').map(|name| name.trim().to_owned()).collect(),
                "--cores" => (options.server_core, options.client_core) = cores(&value()?)?,
                "--help" | "-h" => return Err(USAGE.to_owned()),
                name if CASES.contains(&name) => options.cases.push(name.to_owned()),
                other => return Err(format!("`{other}` is neither a case nor an option\n\n{USAGE}")),
            }
        }
        if options.cases.is_empty() {
            options.cases = CASES[..7].iter().map(|&c| c.to_owned()).collect();
        }
        if options.repeat == 0 {
            options.repeat = if options.quick { 1 } else { 3 };
        }
        Ok(options)
    }
}

fn cores(text: &str) -> Result<(usize, usize), String> {
    let pair = text.split_once(',').and_then(|(s, c)| Some((s.trim().parse().ok()?, c.trim().parse().ok()?)));
    let (server, client) = pair.ok_or("--cores wants two numbers such as 0,1")?;
    if server == client {
        return Err("--cores: server and client on one core would measure each other".to_owned());
    }
    Ok((server, client))
}

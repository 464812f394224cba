//! plimsoll under measurement: the scenario file of a case with everything on, and what run.json says afterwards.

use super::bare::Claim;
use super::judge::Quantiles;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A run of ours.
#[derive(Clone, Debug)]
pub struct Load {
    /// File name in `benches/whole_client`.
    pub scenario: &'static str,
    /// Changes to it, `key=value`.
    pub set: Vec<String>,
}

/// The command line: records, histograms, Parquet and reports are written as for any user.
pub fn command(load: &Load, url: &str, out: &Path, seed: usize) -> Vec<String> {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/whole_client").join(load.scenario);
    let text = |path: &Path| path.display().to_string();
    let mut all = vec![env!("CARGO_BIN_EXE_plimsoll").to_owned(), "run".to_owned(), text(&scenario)];
    all.extend(["--url", url, "--out", &text(out), "--seed", &seed.to_string(), "--quiet"].map(str::to_owned));
    all.extend(load.set.iter().flat_map(|change| ["--set".to_owned(), change.clone()]));
    all
}

/// What the run wrote about itself; the folder is removed.
pub fn claim(out: &Path) -> Result<Claim, String> {
    let path = run_json(out).ok_or("no run.json was written")?;
    let document: Value = serde_json::from_slice(&std::fs::read(&path).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let _ = std::fs::remove_dir_all(out);
    let summary = &document["summary"];
    let latency = |name: &str| quantiles(&summary["latency"][name]);
    let validity = &summary["validity"];
    let codes = validity["warnings"].as_array().into_iter().flatten().filter_map(|w| w["code"].as_str());
    let mut codes: Vec<&str> = codes.collect();
    codes.insert(0, if validity["valid"].as_bool() == Some(true) { "valid" } else { "INVALID" });
    let accounting = &summary["accounting"];
    let due = accounting["due"].as_u64().unwrap_or(0);
    let ok = accounting["ok"].as_u64().unwrap_or(0);
    let missed = if due == ok { String::new() } else { format!("; {} of {due} not ok: {}", due - ok, accounting["outcomes"]) };
    Ok(Claim {
        due,
        ok,
        tokens: summary["tokens"]["output_usage"].as_u64().unwrap_or(0),
        ttft: latency("ttft_service"),
        ttft_due: latency("ttft"),
        itl: latency("itl"),
        late: latency("lateness"),
        load_cpu_s: validity["client"]["cpu_s"].as_f64(),
        verdict: format!("{}{missed}", codes.join(", ")),
    })
}

/// `out/<scenario>/<run>/run.json`.
fn run_json(out: &Path) -> Option<PathBuf> {
    let only = |folder: &Path| std::fs::read_dir(folder).ok()?.flatten().map(|e| e.path()).find(|p| p.is_dir());
    Some(only(&only(out)?)?.join("run.json")).filter(|p| p.is_file())
}

fn quantiles(distribution: &Value) -> Quantiles {
    let at = |name: &str| {
        let all = distribution["percentiles"].as_array().into_iter().flatten();
        all.filter(|p| p["name"] == name).find_map(|p| p["value_ms"].as_f64()).unwrap_or(f64::NAN)
    };
    Quantiles { n: distribution["n"].as_u64().unwrap_or(0), p50: at("p50"), p99: at("p99"), max: distribution["max_ms"].as_f64().unwrap_or(f64::NAN) }
}

//! What `deploy/ci` holds, run as a CI system would run it: the shell recipe, the step of the action, the script of the template.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn deployed(name: &str) -> String {
    std::fs::read_to_string(root().join("deploy/ci").join(name)).unwrap()
}

/// Arguments that make runs short, one a line.
const SHORT: &str = "--seed=7
--quiet
--set=load.arrivals={constant={rate=\"40/s\"}}
--set=load.warmup=100ms
--set=load.measure=700ms
--set=gate.min_requests=20
--set=gate.redo=10
--set=gate.looks=[3]
--pause=50ms
--set=gate.metrics={ttft_p95={role=\"informational\"},e2e_p95={role=\"informational\"},ttft_p50={margin=\"50%\"},tpot_p50={margin=\"15%\",floor=\"0.1ms\"},error_rate={margin=\"20%\"},goodput={margin=\"20%\"},output_tok_s={margin=\"30%\"}}";

/// Runs `script` in bash with an environment of its own, in `folder`.
fn bash(script: &str, folder: &Path, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(folder).stdin(Stdio::null());
    command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY").env_remove("GITHUB_OUTPUT");
    command.env("PLIMSOLL", env!("CARGO_BIN_EXE_plimsoll")).env("GATE_SCENARIO", root().join("scenarios/gate.toml"));
    command.envs(environment.iter().copied()).output().unwrap()
}

fn assert_code(output: &Output, code: i32) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// The text of a block scalar or plain scalar behind `key:` in our own YAML.
fn value_of(yaml: &str, key: &str) -> String {
    let line = yaml.lines().find(|l| l.trim_start().starts_with(key)).unwrap_or_else(|| panic!("{key} is not in the file"));
    line.trim_start().trim_start_matches(key).trim().to_owned()
}

/// The step of the action with its environment: as a runner would start it after it has filled in the inputs.
#[test]
fn the_step_of_the_action_gates_writes_a_summary_and_outputs() {
    let yaml = deployed("action.yml");
    let step = value_of(&yaml, "run:");
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let action = root().join("deploy/ci").display().to_string();
    let more = format!("{SHORT}\n--head-set=endpoint.step.base=8ms");
    let (summary, outputs) = (at("summary"), at("outputs"));
    let given = [
        ("GITHUB_ACTION_PATH", action.as_str()),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_STEP_SUMMARY", &summary),
        ("GITHUB_OUTPUT", &outputs),
        ("GATE_ARGS", &more),
        ("GATE_BASE", ""),
        ("GATE_HEAD", ""),
        ("GATE_BASELINE", ""),
        ("GATE_ON_INCONCLUSIVE", "warn"),
        ("GATE_OUT", "gate-results"),
    ];
    let output = bash(&step, folder.path(), &given);
    assert_code(&output, 10);
    // Every input of the step is one that the recipe reads, and comes in through the environment.
    let recipe = deployed("gate.sh");
    for line in yaml.lines().filter(|l| l.contains("${{ inputs.")) {
        let name = line.trim().split(':').next().unwrap();
        assert!(recipe.contains(&format!("${{{name}")), "{name} is not read by gate.sh");
    }
    assert!(!step.contains("${{"), "an input stands in the text of the script: {step}");
    assert!(std::fs::read_to_string(&summary).unwrap().contains("FAIL"));
    assert!(std::fs::read_to_string(&outputs).unwrap().contains("exit-code=10\n"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("::error title=plimsoll gate"));
    let junit = std::fs::read_to_string(folder.path().join("gate-results/junit.xml")).unwrap();
    assert!(junit.contains("<failure"), "{junit}");
}

/// The script of the template in a checkout; the reports that it names are there afterwards.
#[test]
fn the_template_gates_and_its_reports_are_where_it_says() {
    let yaml = deployed("gitlab.yml");
    let script = value_of(&yaml, "- bash").trim().to_owned();
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink(root().join("deploy"), folder.path().join("deploy")).unwrap();
    let out = value_of(&yaml, "GATE_OUT:");
    let output = bash(&format!("bash {script}"), folder.path(), &[("GATE_ARGS", SHORT), ("GATE_OUT", &out)]);
    assert_code(&output, 0);
    for report in ["junit:", "metrics:", "load_performance:"] {
        let named: PathBuf =
            yaml.lines().filter(|l| l.trim_start().starts_with(report)).map(|l| l.split(": ").nth(1).unwrap().into()).next().unwrap();
        assert!(folder.path().join(&named).is_file(), "{}", named.display());
    }
}

/// Without a base: the first runs are recorded, later ones judged by them; a file that is no baseline is never a pass.
#[test]
fn the_recipe_judges_by_a_baseline_file() {
    let folder = TempDir::new().unwrap();
    let recipe = root().join("deploy/ci/gate.sh").display().to_string();
    let scenario = folder.path().join("short.toml");
    let text = std::fs::read_to_string(root().join("scenarios/gate.toml")).unwrap();
    let text = text.replace("poisson = { rate = \"70/s\"", "constant = { rate = \"40/s\"").replace("warmup = \"500ms\"", "warmup = \"100ms\"");
    let text = text.replace("measure = \"4s\"", "measure = \"1s\"").replace("[gate]\n", "[gate]\nmin_requests = 20\n");
    std::fs::write(&scenario, text.replace("#:schema ./", "#:schema /")).unwrap();
    let scenario = scenario.display().to_string();
    let run = |more: &str| {
        let given = [("GATE_SCENARIO", scenario.as_str()), ("GATE_BASELINE", "baselines/gate.json"), ("GATE_RUNS", "2"), ("GATE_ARGS", more)];
        bash(&format!("bash {recipe}"), folder.path(), &given)
    };
    assert_code(&run("--quiet"), 14);
    let recorded = run("--quiet\n--on-missing-baseline=record\n--by=tester");
    assert_code(&recorded, 0);
    assert!(String::from_utf8_lossy(&recorded.stdout).contains("nothing was compared"));
    let held = std::fs::read_to_string(folder.path().join("baselines/gate.json")).unwrap();
    assert!(held.contains("tester") && held.len() < 50_000);
    std::fs::write(folder.path().join("baselines/gate.json"), &held[..held.len() / 2]).unwrap();
    assert_code(&run("--quiet"), 14);
}

//! Command lines of the peers that know LLM endpoints, and of locust with a scenario of our making.

#![expect(clippy::unnecessary_wraps, reason = "every peer's function has one signature")]

use super::peers::{Job, Line, words};

fn with_hub(job: &Job) -> Vec<(String, String)> {
    let hub = job.home.join("hf").display().to_string();
    [("HF_HOME", hub.as_str()), ("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "1"), ("TOKENIZERS_PARALLELISM", "false")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
}

/// Tokens asked for; the small reply has one.
fn tokens(job: &Job) -> u32 {
    job.answer.tokens.max(1)
}

/// `locust`, with the scenario in `locustfile.py`; open loops are as many users as requests a second, each asking once a second.
pub fn locust(job: &Job) -> Result<Line, String> {
    let users = match job.rate {
        Some(("constant", rate)) => rate,
        Some(_) => return Ok(None),
        None => job.users,
    };
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/whole_client/locustfile.py");
    let seconds = if job.by_number { 60 } else { job.seconds };
    let line = words(&format!("-f {file} --headless --only-summary -u {users} -r {users} -t {seconds}s -s 5 --host {}", job.base));
    let mut env = vec![("BENCH_BODY".to_owned(), super::answer::body(job.answer))];
    if job.by_number {
        env.push(("BENCH_REQUESTS".to_owned(), job.requests.to_string()));
    }
    if job.rate.is_some() {
        env.push(("BENCH_PACED".to_owned(), "1".to_owned()));
    }
    Ok(Some((line, env)))
}

/// `evalscope perf`: by number of requests.
pub fn evalscope(job: &Job) -> Result<Line, String> {
    let prompts = job.file("prompts.txt", &format!("{}\n", "word ".repeat(32)).repeat(200))?;
    let out = job.folder.join("evalscope").display().to_string();
    let n = tokens(job);
    let stream = if job.answer.tokens > 0 { "--stream" } else { "--no-stream" };
    let mut line = words(&format!(
        "perf --model bench --api openai --url {} --dataset line_by_line --dataset-path {prompts} --max-tokens {n} --min-tokens {n} {stream} \
         --number {} --no-test-connection --outputs-dir {out} --tokenizer-path {}",
        job.url(),
        job.requests,
        job.home.join("tokenizer").display()
    ));
    match job.rate {
        // Exponential gaps are the only ones it has.
        Some(("poisson", rate)) => line.extend(words(&format!("--open-loop --rate {rate}"))),
        Some(_) => return Ok(None),
        None => line.extend(words(&format!("--parallel {}", job.users))),
    }
    Ok(Some((line, with_hub(job))))
}

/// `inference-perf`: by a configuration file; one worker, as there is one core.
pub fn inference_perf(job: &Job) -> Result<Line, String> {
    let load = match job.rate {
        Some((law, rate)) => format!("  type: {law}\n  stages:\n  - rate: {rate}\n    duration: {}\n", job.seconds),
        None => format!("  type: concurrent\n  stages:\n  - num_requests: {}\n    concurrency_level: {}\n", job.requests, job.users),
    };
    let config = format!(
        "load:\n{load}  num_workers: 1\n  worker_max_concurrency: 2000\n  interval: 0\napi:\n  type: chat\n  streaming: {}\n\
         server:\n  type: vllm\n  model_name: bench\n  base_url: {}\n  ignore_eos: true\ndata:\n  type: mock\n\
         tokenizer:\n  pretrained_model_name_or_path: local/tok\nstorage:\n  local_storage:\n    path: {}\n",
        job.answer.tokens > 0,
        job.base,
        job.folder.join("inference-perf").display()
    );
    let file = job.file("inference-perf.yml", &config)?;
    Ok(Some((words(&format!("--config_file {file}")), with_hub(job))))
}

/// `aiperf profile`, with one worker.
pub fn aiperf(job: &Job) -> Result<Line, String> {
    let Some((root, prefix)) = job.base.rsplit_once('/') else { return Ok(None) };
    let n = tokens(job);
    let out = job.folder.join("aiperf").display().to_string();
    let mut line = words(&format!(
        "profile -m bench --url {root} --endpoint-type chat --custom-endpoint /{prefix}/v1/chat/completions --tokenizer local/tok \
         --synthetic-input-tokens-mean 32 --output-tokens-mean {n} --artifact-dir {out} --workers-max 1 --ui-type none"
    ));
    if job.answer.tokens > 0 {
        line.push("--streaming".to_owned());
    }
    match job.rate {
        Some((law, rate)) => line.extend(words(&format!("--request-rate {rate} --arrival-pattern {law} --request-count {}", job.requests))),
        None => line.extend(words(&format!("--concurrency {} --request-count {}", job.users, job.requests))),
    }
    Ok(Some((line, with_hub(job))))
}

/// `guidellm run`, with one worker.
pub fn guidellm(job: &Job) -> Result<Line, String> {
    let (profile, end) = match job.rate {
        Some((law, rate)) => (format!("kind={law},rate={rate}"), format!("kind=max_duration,seconds={}", job.seconds)),
        None => (format!("kind=concurrent,streams={}", job.users), format!("kind=max_requests,count={}", job.requests)),
    };
    let stream = job.answer.tokens > 0;
    let backend = format!("kind=openai_http,target={},model=bench,stream={stream},validate_backend=false", job.base);
    let tokenizer = job.home.join("tokenizer").display().to_string();
    let line = words(&format!(
        "run --backend {backend} --profile {profile} --constraint {end} --data kind=synthetic_text,prompt_tokens=32,output_tokens={} \
         --tokenizer kind=huggingface_auto,model={tokenizer} --output kind=json,path={} --disable-console",
        tokens(job),
        job.folder.join("guidellm.json").display()
    ));
    let mut env = with_hub(job);
    env.push(("GUIDELLM__MAX_WORKER_PROCESSES".to_owned(), "1".to_owned()));
    Ok(Some((line, env)))
}

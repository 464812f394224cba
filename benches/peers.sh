#!/usr/bin/env bash
# Installs the peers of `cargo bench --bench whole_client -- peers` as far as this machine's package sources offer them; what fails is left out.
#
#   benches/peers.sh DIR            then: cargo bench --bench whole_client -- peers --peers DIR
#
# A thing that takes longer than ten minutes is given up. guidellm needs 6 GB, aiperf, inference-perf and evalscope about 1 GB each.
set -u
dir=$(mkdir -p "${1:?usage: benches/peers.sh DIR [NAME...]}" && cd "$1" && pwd)
shift
here=$(cd "$(dirname "$0")" && pwd)
want() { [ $# -gt 0 ] && { [ -z "$names" ] || [[ " $names " == *" $1 "* ]]; }; }
names="$*"
bounded() { timeout -k 5 600 "$@"; }
said() { printf '%s: %s\n' "$1" "$2"; }

if want wrk || want hey || want ab || want h2load; then
    if command -v wrk hey ab h2load >/dev/null; then
        said "wrk hey ab h2load" "there"
    else
        bounded apt-get install -y wrk hey apache2-utils nghttp2-client >"$dir/apt.log" 2>&1 && said "wrk hey ab h2load" "installed" ||
            said "wrk hey ab h2load" "failed, see $dir/apt.log"
    fi
fi

if want oha; then
    timeout -k 5 1800 cargo install oha --version 1.16.0 --locked --root "$dir" >"$dir/oha.log" 2>&1 && said oha installed ||
        said oha "failed, see $dir/oha.log"
fi

# uv resolves in seconds what pip needs a quarter of an hour for.
[ -x "$dir/uv/bin/uv" ] || { python3 -m venv "$dir/uv" && bounded "$dir/uv/bin/pip" install -q uv==0.13.9; }
export UV_CACHE_DIR="$dir/cache"
for package in locust==2.47.0 inference-perf==0.7.0 'evalscope[perf]==1.14.1' aiperf==0.13.0 guidellm==0.8.1; do
    name=${package%%[=[]*}
    want "$name" || continue
    { bounded "$dir/uv/bin/uv" venv -q --clear "$dir/venv-$name" &&
        bounded "$dir/uv/bin/uv" pip install -q --python "$dir/venv-$name/bin/python" "$package"; } >"$dir/$name.log" 2>&1 &&
        said "$name" "installed" || said "$name" "failed, see $dir/$name.log"
done

# The LLM tools want a tokenizer before they start.
for name in inference-perf evalscope aiperf guidellm; do
    python="$dir/venv-$name/bin/python"
    if [ -x "$python" ] && bounded "$python" "$here/peers_tokenizer.py" "$dir" >/dev/null 2>&1; then
        said tokenizer made
        break
    fi
done

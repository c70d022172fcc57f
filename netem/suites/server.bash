# For the suites that look at a whole server; they source it. Needs Xvfb, xterm and openssl; all it makes is on loopback,
# in a folder of its own, and gone when the suite ends, however it does.
#
#   serve               starts a shadow server with a port of each kind, and a client that is attached to it
#   port KIND           the port of a kind: tcp ssl ws wss ssh
#   still_live WHAT     finds fault unless the attached client gets pictures and newcomers get answers
#   finding TEXT        something that is not as it should be
#   verdict             the last line; status 1 after findings
#
# $work is the folder, $work/ca.pem vouches for the server, $work/www is what it shows browsers.

need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "no $tool: see the head of $0" >&2; exit 2; }
    done
}

work=$(mktemp -d -t xpra-suite.XXXXXX)
started=()
findings=0

clean_up() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# start LOG COMMAND...: runs something until the suite ends.
start() {
    local log=$1
    shift
    "$@" >"$work/$log" 2>&1 </dev/null &
    started+=($!)
}

# eventually COMMAND...: waits until it succeeds.
eventually() {
    for _ in {1..300}; do
        "$@" && return
        sleep 0.1
    done
    echo "this did not come true: $*" >&2
    tail -n 20 "$work"/*.log >&2
    exit 2
}

serve() {
    need Xvfb xterm openssl ssh-keygen
    # another build may be put in its place
    xpra=${XPRA_RS:-}
    [ -n "$xpra" ] || cargo build --locked --quiet --bin xpra-rs
    xpra=$(realpath "${xpra:-${CARGO_TARGET_DIR:-target}/debug/xpra-rs}")
    export HOME=$work/home XDG_RUNTIME_DIR=$work/run XDG_CONFIG_HOME=$work/home/.config
    export DBUS_SESSION_BUS_ADDRESS=disabled:
    unset XAUTHORITY WAYLAND_DISPLAY
    mkdir -m 700 "$HOME" "$XDG_RUNTIME_DIR" "$work/www"
    make_keys
    echo '<!doctype html><title>A page</title><p>Text.</p>' >"$work/www/index.html"
    head -c 8M /dev/urandom >"$work/www/large.bin"

    start display.log Xvfb -displayfd 3 -screen 0 640x480x24 -nolisten tcp -noreset 3>"$work/display"
    eventually test -s "$work/display"
    DISPLAY=:$(<"$work/display")
    export DISPLAY
    start changes.log xterm -e sh -c 'while :; do date +%N; sleep 0.2; done'

    local key=ssh-host-key=$work/host_key
    start server.log "$xpra" shadow "$DISPLAY" --mdns=no --bind=none --html="$work/www" \
        --bind-tcp=127.0.0.1:0,"$key" --bind-ssl=127.0.0.1:0 --bind-ws=127.0.0.1:0 --bind-wss=127.0.0.1:0 \
        --bind-ssh=127.0.0.1:0,"$key" --ssl-cert="$work/cert.pem" --ssl-key="$work/key.pem"
    server=$!
    eventually grep -q 'xpra is ready' "$work/server.log"
    start client.log "$xpra" attach "tcp://127.0.0.1:$(port tcp)/" --headless
    client=$!
    eventually draws >/dev/null
}

# An authority, a certificate of it, and a host key.
make_keys() {
    local curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    openssl req -x509 "${curve[@]}" -days 90 -subj '/CN=suite authority' -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout "$work/ca.key" -out "$work/ca.pem"
    openssl req "${curve[@]}" -subj /CN=localhost -keyout "$work/key.pem" -out "$work/cert.csr"
    openssl x509 -req -in "$work/cert.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 90 \
        -out "$work/cert.pem" -extfile /dev/stdin <<END
subjectAltName=DNS:localhost,IP:127.0.0.1
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
authorityKeyIdentifier=keyid
END
    ssh-keygen -q -t ed25519 -N '' -f "$work/host_key"
} 2>"$work/keys.log"

port() {
    sed -n "s,.*listening on $1://127\.0\.0\.1:\([0-9]*\).*,\1,p" "$work/server.log" | head -n 1
}

ask() {
    timeout 10 "$xpra" "$1" "tcp://127.0.0.1:$(port tcp)/" 2>>"$work/ask.log"
}

# How many pictures the attached client has got.
draws() {
    ask info >"$work/info" && sed -n 's/^client\.damage\.packets_sent=//p' "$work/info" | grep .
}

still_live() {
    local before after
    kill -0 "$server" 2>/dev/null || finding "$1: the server is gone"
    kill -0 "$client" 2>/dev/null || finding "$1: the attached client is gone"
    before=$(draws) && sleep 2 && after=$(draws) || { finding "$1: a newcomer got no answer"; return 0; }
    [ "$after" -gt "$before" ] || finding "$1: the attached client gets no pictures"
}

finding() {
    echo "FINDING: $*"
    findings=$((findings + 1))
}

verdict() {
    if grep -h 'panicked' "$work"/*.log; then finding "something panicked"; fi
    if [ "$findings" -eq 0 ]; then echo "passed"; else echo "$findings findings"; exit 1; fi
}

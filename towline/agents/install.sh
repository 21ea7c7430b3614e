#!/bin/sh
# Installs towline's agent on this host, enrolls it, and starts it. Run as root. It writes:
#   /usr/local/sbin/towline-agent               the agent: one file of Python 3.6 or newer, standard library only
#   /var/lib/towline/agent/                     its key, which is made here and never leaves, and its settings
#   /etc/systemd/system/towline-agent.service   where systemd is pid 1; elsewhere it is started in the background
# To remove it: systemctl disable --now towline-agent, and remove these.
set -eu

fail() {
    echo "install towline-agent: $*" >&2
    exit 1
}

# All of it is read before anything is done: a download that was cut short does nothing.
main() {
    name=@NAME@ endpoint=@ENDPOINT@ token=${TOWLINE_TOKEN:-@TOKEN@} ca=""
    while [ $# -gt 0 ]; do
        case $1 in
        --name) name=$2 ;;
        --endpoint) endpoint=$2 ;;
        --ca) ca=$2 ;;
        *) fail "unknown option $1" ;;
        esac
        shift 2
    done
    [ -n "$name" ] && [ -n "$endpoint" ] || fail "--name and --endpoint are needed"
    [ -n "$token" ] || fail "the invitation is needed, as TOWLINE_TOKEN; make one: towline agent invite $name"
    [ "$(id -u)" = 0 ] || fail "run it as root: deployments run as root, or as the users that they name"
    python=""
    for each in python3 /usr/libexec/platform-python; do
        found=$(command -v "$each") && "$found" -c 'import sys; sys.exit(sys.version_info < (3, 6))' && python=$found && break
    done
    [ -n "$python" ] || fail "no Python 3.6 or newer; install python3"
    umask 022
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    write_agent >"$work/towline-agent"
    echo "@SHA256@  $work/towline-agent" | sha256sum -c --status - || fail "the agent was damaged on its way"
    write_ca >"$work/ca.pem"
    if [ -z "$ca" ] && grep -q CERTIFICATE "$work/ca.pem"; then ca=$work/ca.pem; fi
    stop
    mkdir -p /usr/local/sbin
    install -m 0755 "$work/towline-agent" /usr/local/sbin/towline-agent
    TOWLINE_TOKEN=$token "$python" -I -S /usr/local/sbin/towline-agent enroll \
        --name "$name" --endpoint "$endpoint" ${ca:+--ca "$ca"}
    start
}

has_systemd() {
    [ -d /run/systemd/system ]
}

stop() {
    if has_systemd; then
        systemctl stop towline-agent 2>/dev/null || true
    elif [ -f /run/towline-agent.pid ] && grep -q towline-agent "/proc/$(cat /run/towline-agent.pid)/cmdline" 2>/dev/null; then
        kill "$(cat /run/towline-agent.pid)"
    fi
}

start() {
    if has_systemd; then
        write_unit >/etc/systemd/system/towline-agent.service
        systemctl daemon-reload
        systemctl enable --now towline-agent
        echo "towline-agent runs; see: systemctl status towline-agent"
    else
        setsid "$python" -I -S /usr/local/sbin/towline-agent run </dev/null >>/var/log/towline-agent.log 2>&1 &
        echo $! >/run/towline-agent.pid
        echo "towline-agent runs in the background; it must be started again after a reboot. See /var/log/towline-agent.log"
    fi
}

# No PrivateTmp, ProtectSystem or NoNewPrivileges: scripts of deployments would inherit them. KillMode=process: a restart
# of the agent must not end a deployment.
write_unit() {
    cat <<END
[Unit]
Description=towline's agent: lets this host be deployed to
Documentation=https://pypi.org/project/towline/
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=$python -I -S /usr/local/sbin/towline-agent run
Restart=always
RestartSec=2
KillMode=process

[Install]
WantedBy=multi-user.target
END
}

write_ca() {
    cat <<'TOWLINE_CA'
@CA@
TOWLINE_CA
}

write_agent() {
    cat <<'TOWLINE_AGENT'
@AGENT@
TOWLINE_AGENT
}

main "$@"

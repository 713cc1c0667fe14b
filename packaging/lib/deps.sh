# Installs the Debian or Ubuntu packages that are missing, and only those.

# Programs, from wherever they come, and the package to install otherwise.
readonly PROGRAMS="gcc:gcc make:make autoreconf:autoconf automake:automake
libtoolize:libtool pkg-config:pkg-config psql:postgresql-client curl:curl"

# apache2-bin is httpd without its system service: nothing is switched on.
readonly PACKAGES="apache2-bin apache2-dev apache2-utils
libaprutil1-dbd-pgsql libpq-dev libjansson-dev libssl-dev
libutf8proc-dev libhiredis-dev libarchive-dev libcurl4-openssl-dev libgit2-dev
libwslay-dev check ca-certificates"

package_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Node 18 and npm from anywhere will do.
node_suffices() {
    have node && have npm &&
        node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' \
            2>/dev/null
}

# missing_packages EXTRA...: of the lists and EXTRA, one per line.
missing_packages() {
    local program package
    for program in $PROGRAMS; do
        have "${program%%:*}" || printf '%s\n' "${program#*:}"
    done
    for package in $PACKAGES "$@"; do
        package_installed "$package" || printf '%s\n' "$package"
    done
    # any supported release of the server, with its contrib modules
    find_pg_bin >/dev/null || printf '%s\n' postgresql postgresql-contrib
    node_suffices || printf '%s\n' nodejs npm
}

# Where there is no dpkg, one can only look for the programs.
check_programs() {
    local program absent=
    for program in $PROGRAMS apxs node npm; do
        have "${program%%:*}" || absent="$absent ${program#*:}"
    done
    [ -z "$absent" ] ||
        die "this is no Debian or Ubuntu; please install:$absent"
    find_pg_bin >/dev/null || die "please install a PostgreSQL server, 13 or up"
}

# The script that root runs; its arguments are the packages. A policy that
# forbids services to start is in place meanwhile, no database cluster of the
# system is made by the way, and no module is switched on in the system's httpd.
install_script() {
    cat <<'END'
set -u
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.d/chronicle-build.conf
enabled=/etc/apache2/mods-enabled
made_policy= made_cluster=
before=" $(ls "$enabled" 2>/dev/null | tr '\n' ' ') "

switch_off() {
    for module in "$enabled"/*.load; do
        name=${module##*/}
        case $before in
        *" $name "*) ;;
        *) [ ! -e "$module" ] || a2dismod -q -f "${name%.load}" ;;
        esac
    done
}

undo() {
    [ -z "$made_policy" ] || rm -f "$policy"
    [ -z "$made_cluster" ] || rm -f "$cluster"
    [ "$before" = "  " ] || switch_off
}
trap undo EXIT
trap 'exit 1' HUP INT TERM

if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" || exit 1
    made_policy=yes
fi
if [ ! -d /etc/postgresql ]; then
    mkdir -p "${cluster%/*}" || exit 1
    echo "create_main_cluster = false" >"$cluster"
    made_cluster=yes
fi
apt-get -q -o DPkg::Lock::Timeout=300 update ||
    echo "apt-get update failed; trying with the lists as they are"
apt-get -q -y -o DPkg::Lock::Timeout=300 install \
    --no-install-recommends --no-remove "$@" || exit 1
# its service is not ours to switch on: not now, and not when the machine starts
case " $* " in
*" redis-server "*)
    ! command -v systemctl >/dev/null ||
        systemctl disable redis-server >/dev/null 2>&1
    ! command -v update-rc.d >/dev/null ||
        update-rc.d redis-server disable >/dev/null 2>&1
    ;;
esac
exit 0
END
}

# Makes a few lines of apt's output on standard input.
show_install_progress() {
    local line count=0
    while IFS= read -r line; do
        case $line in
        'Need to get '*) say "    ${line%.}" ;;
        'Fetched '*) say "    $line" ;;
        'Setting up '*)
            count=$((count + 1))
            [ $((count % 50)) -ne 0 ] || say "    $count packages installed"
            ;;
        esac
    done
    say "    $count packages installed"
}

# install_packages PACKAGE...
install_packages() {
    local log runner=sh
    step "installing: $*"
    if ! is_root; then
        have sudo || die "can't become root here. As root, install these: $*"
        say "    (root is needed for that; sudo may ask for your password)"
        sudo ${CI:+-n} true || die "sudo refused. As root, install these: $*"
        runner="sudo sh"
    fi
    log=$(mktemp "${TMPDIR:-/tmp}/chronicle-apt.XXXXXX")
    if ! $runner -c "$(install_script)" install "$@" </dev/null 2>&1 |
        tee "$log" | show_install_progress; then
        die_with_log "installing failed: $*" "$log"
    fi
    rm -f "$log"
}

# ensure_packages EXTRA...
ensure_packages() {
    local missing
    if ! have dpkg-query || ! have apt-get; then
        check_programs
        return
    fi
    missing=$(missing_packages "$@")
    # shellcheck disable=SC2086
    [ -z "$missing" ] || install_packages $missing
}

command_deps() {
    ensure_packages "$@"
    say "Everything that is needed is installed. Next: ./apxs-build.sh up"
}

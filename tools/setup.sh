#!/bin/sh
# Installs what a goal of the Makefile needs and isn't here yet: tools/setup.sh run|test|acceptance|bench|compiled|wheel|web
#
# Debian packages by apt-get (as root or by sudo), Python packages into .venv, in the versions and with the hashes of requirements/*.txt
# (made by make lock). Says what it does; does nothing when all is there.
# Packages that bring a service (rtpengine, Kamailio) are installed without starting it: sipnode runs its own.
set -eu
cd "$(dirname "$0")/.."
goal=${1:?run, test, acceptance, bench, compiled, wheel or web}
venv=.venv

say() { printf '%s\n' "$*"; }
fail() {
	printf 'sipnode: %s\n' "$*" >&2
	exit 1
}

# ---------------------------------------------------------------- Debian

missing=""
need() { # need COMMAND PACKAGE
	command -v "$1" >/dev/null 2>&1 || case " $missing " in *" $2 "*) ;; *) missing="$missing $2" ;; esac
}
PATH=$PATH:/usr/sbin:/sbin
need rtpengine rtpengine-daemon
case $goal in
test | acceptance)
	need chromium chromium
	need sipp sip-tester
	need svmap sipvicious
	need baresip baresip-core
	need ip iproute2
	need iptables iptables
	need openssl openssl
	need ssh openssh-client
	need nginx nginx-light
	need debootstrap debootstrap
	need haproxy haproxy
	need turnserver coturn
	need sngrep sngrep
	need tshark tshark
	need valgrind valgrind
	need gcc gcc
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql
	[ -d /usr/share/kamailio/postgres ] || missing="$missing kamailio-postgres-modules"
	need kamailio kamailio
	for modules in websocket tls presence; do
		ls /usr/lib/*/kamailio/modules/$modules.so >/dev/null 2>&1 || missing="$missing kamailio-$modules-modules"
	done
	;;
compiled) need gcc gcc ;;
bench)
	need gcc gcc
	need valgrind valgrind
	need sipp sip-tester
	need kamailio kamailio
	need openssl openssl
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql
	[ -d /usr/share/kamailio/postgres ] || missing="$missing kamailio-postgres-modules"
	for modules in websocket tls presence; do
		ls /usr/lib/*/kamailio/modules/$modules.so >/dev/null 2>&1 || missing="$missing kamailio-$modules-modules"
	done
	;;
esac
python=${PYTHON:-python3}
command -v "$python" >/dev/null 2>&1 || fail "Python is missing: apt-get install python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is older than 3.11; name a newer one: make $goal PYTHON=python3.12"
if [ ! -x $venv/bin/python ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
	missing="$missing python3-venv"
fi

case $goal in
compiled | test | acceptance | bench)
	"$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' || missing="$missing python3-dev"
	;;
esac

if [ -n "$missing" ]; then
	command -v apt-get >/dev/null 2>&1 || fail "please install these by your system's means, then run make $goal again:$missing"
	root=""
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null 2>&1 || fail "root has to install some packages first: apt-get install --no-install-recommends$missing"
		root=sudo
	fi
	say "Installing Debian packages:$missing"
	policy=/usr/sbin/policy-rc.d
	made_policy=""
	if [ ! -e $policy ]; then
		# Keeps invoke-rc.d from starting the services of the packages below.
		printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
		$root chmod 755 $policy
		made_policy=yes
	fi
	unpolicy() { [ -z "$made_policy" ] || $root rm -f $policy; }
	trap unpolicy EXIT
	$root apt-get -q update
	# shellcheck disable=SC2086
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing
	unpolicy
	trap - EXIT
	if command -v systemctl >/dev/null 2>&1; then
		# Nor at the next boot; only what was installed here is touched.
		case " $missing " in *" rtpengine-daemon "*) $root systemctl disable --quiet rtpengine-daemon.service 2>/dev/null || : ;; esac
		case " $missing " in *" nginx-light "*) $root systemctl disable --quiet nginx.service 2>/dev/null || : ;; esac
		case " $missing " in *" postgresql "*) $root systemctl disable --quiet postgresql.service 2>/dev/null || : ;; esac
		case " $missing " in *" kamailio "* | *" kamailio-postgres-modules "*) $root systemctl disable --quiet kamailio.service 2>/dev/null || : ;; esac
	fi
fi

# Debian 12 has no Asterisk: the tests run that of Debian 11, from a folder.
[ "$goal" != test ] || tools/asterisk.sh

# ---------------------------------------------------------------- Python

[ -x $venv/bin/python ] || {
	say "Making a virtual environment in $venv"
	"$python" -m venv $venv
}
pip() { $venv/bin/python -m pip install --disable-pip-version-check --progress-bar off -q "$@"; }
install() { # install LOCK: once, and again when a lock file or the metadata changed
	stamp=$venv/.installed-$1
	wanted=$(cat setup.cfg pyproject.toml requirements/*.txt | cksum)
	[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
	say "Installing Python packages of requirements/$1.txt"
	# Whatever is built is built with these: a build that is isolated would fetch what no lock file names.
	pip --require-hashes --only-binary :all: -r requirements/build.txt
	pip --require-hashes --no-deps --no-build-isolation --use-pep517 -r "requirements/$1.txt"
	SIPNODE_COMPILE=0 pip --no-deps --no-build-isolation -e .
	printf '%s\n' "$wanted" >"$stamp"
}
case $goal in
test | acceptance | compiled) install dev ;;
*) if [ -f $venv/.installed-dev ]; then install dev; else install run; fi ;;
esac
command -v npm >/dev/null 2>&1 || install web
case $goal in
run | compiled | bench | wheel)
	# The compiler of the modules (mypy), where C can be compiled at all; requirements/dev.txt has it too.
	[ -f $venv/.installed-dev ] || ! $venv/bin/python backend/sipnode_compile.py --why-not >/dev/null || install compile
	;;
esac

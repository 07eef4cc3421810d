#!/bin/sh
# Fetches the Asterisk that the live tests call through, into .work/asterisk: Debian 12 has none, Debian 11's is unpacked beside the system.
#
# Nothing is installed: the packages are unpacked into a folder, with the C library that they were built with, and run from there
# (tests/live/support/asterisk.py). apt-get checks Debian's signatures, in folders of its own.
set -eu
cd "$(dirname "$0")/.."
suite=bullseye
folder=$PWD/.work/asterisk
[ ! -e "$folder/complete" ] || exit 0
rm -rf "$folder"
apt=$folder/apt
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/etc/preferences.d" "$apt/etc/apt.conf.d" "$folder/root"
: >"$apt/state/status"
printf 'Dir::State "%s/state";\nDir::State::status "%s/state/status";\nDir::Cache "%s/cache";\nDir::Etc "%s/etc";\n' "$apt" "$apt" "$apt" "$apt" >"$apt/conf"
cat >>"$apt/conf" <<END
Dir::Etc::sourceparts "/dev/null";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Retries "3";
END
export APT_CONFIG="$apt/conf"
printf 'Fetching Asterisk of Debian %s into .work/asterisk\n' "$suite"
# What a mirror no longer has is in the archive.
for mirror in http://deb.debian.org/debian http://archive.debian.org/debian; do
	printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite" >"$apt/etc/sources.list"
	if apt-get -qq update && apt-get -qq install -y --download-only asterisk; then
		for package in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
		rm -rf "$apt"
		: >"$folder/complete"
		exit 0
	fi
done
printf 'sipnode: no Asterisk was to be had\n' >&2
exit 1

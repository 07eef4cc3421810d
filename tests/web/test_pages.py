"""The page over HTTP."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

from twisted.trial.unittest import TestCase
from twisted.web.static import Data

from sipnode.web.pages import CONTENT_TYPES, SECURITY_HEADERS, content_security_policy, softphone_resource

from .kit import Answer, fetch


class SoftphonePagesTests(TestCase):
    """softphone_resource."""

    def setUp(self) -> None:
        self.build = Path(self.mktemp())
        self.build.mkdir()
        (self.build / "index.html").write_text("<!doctype html><title>phone</title>")
        (self.build / "app.js").write_text("'use strict';" * 50)
        (self.build / "letters.woff2").write_bytes(b"wOF2\0\1")
        (self.build / ".stamp").write_text("secret of the build")
        (self.build / "notes.py").write_text("not for the web")
        self.page = softphone_resource("example.test", "1.2.3", None, self.build)

    def assert_guarded(self, answer: Answer) -> None:
        policy = dict(line.split(" ", 1) for line in answer.headers["content-security-policy"].split("; "))
        for closed in ("default-src", "frame-ancestors", "base-uri", "form-action", "object-src"):
            self.assertEqual("'none'", policy[closed])
        for own in ("script-src", "style-src"):
            self.assertEqual("'self'", policy[own])
        self.assertNotIn("*", str(policy))
        self.assertEqual(dict(SECURITY_HEADERS), {name: answer.headers[name] for name in SECURITY_HEADERS})
        self.assertEqual("no-referrer", answer.headers["referrer-policy"])

    def test_page_at_the_root(self) -> None:
        """The page is what the root address gives, guarded and never stored unseen."""
        answer = fetch(self.page)
        self.assertEqual(200, answer.status)
        self.assertEqual("text/html; charset=utf-8", answer.headers["content-type"])
        self.assertEqual("no-cache", answer.headers["cache-control"])
        self.assertIn("<title>phone</title>", answer.text)
        self.assert_guarded(answer)

    def test_page_as_child_of_the_empty_name(self) -> None:
        """A site root that hands on to children finds the page under the empty name."""
        child = self.page.getChildWithDefault(b"", None)
        self.assertIn("<title>phone</title>", fetch(child).text)

    def test_types(self) -> None:
        """Each file has the type of its ending."""
        self.assertEqual("text/javascript; charset=utf-8", fetch(self.page, "/app.js").headers["content-type"])
        font = fetch(self.page, "/letters.woff2")
        self.assertEqual("font/woff2", font.headers["content-type"])
        self.assertEqual(b"wOF2\0\1", font.body)

    def test_unchanged_is_not_sent_again(self) -> None:
        """A browser that has the file gets 304 without a body, and still the policy."""
        first = fetch(self.page, "/app.js")
        again = fetch(self.page, "/app.js", headers={"if-none-match": first.headers["etag"]})
        self.assertEqual((304, b""), (again.status, again.body))
        self.assert_guarded(again)

    def test_rebuilt_page_is_seen(self) -> None:
        """A build while the server runs is served from the next request on, under another ETag."""
        first = fetch(self.page)
        (self.build / "index.html").write_text("<!doctype html><title>newer phone</title>")
        again = fetch(self.page, headers={"if-none-match": first.headers["etag"]})
        self.assertEqual(200, again.status)
        self.assertIn("newer phone", again.text)

    def test_packed_only_for_who_asks(self) -> None:
        """gzip goes to who accepts it, plain text to everybody else, fonts are never packed again."""
        packed = fetch(self.page, "/app.js", headers={"accept-encoding": "br, gzip;q=0.8"})
        self.assertEqual("gzip", packed.headers["content-encoding"])
        self.assertEqual("'use strict';" * 50, gzip.decompress(packed.body).decode())
        self.assertEqual("accept-encoding", packed.headers["vary"])
        for refused in ("", "br", "gzip;q=0", "gzip; q=0.000"):
            self.assertNotIn("content-encoding", fetch(self.page, "/app.js", headers={"accept-encoding": refused}).headers)
        self.assertNotIn("content-encoding", fetch(self.page, "/letters.woff2", headers={"accept-encoding": "gzip"}).headers)

    def test_head(self) -> None:
        """HEAD tells the length and sends nothing."""
        answer = fetch(self.page, "/app.js", method="HEAD")
        self.assertEqual((200, b""), (answer.status, answer.body))
        self.assertEqual(str(len("'use strict';" * 50)), answer.headers["content-length"])

    def test_nothing_else_is_served(self) -> None:
        """Unknown names, hidden files, other endings, folders and ways out of the folder are 404."""
        outside = self.build.parent / "outside.txt"
        outside.write_text("outside")
        (self.build / "folder.js").mkdir()
        names = ["/no.js", "/.stamp", "/notes.py", "/../outside.txt", "/%2e%2e%2foutside.txt", "/folder.js", "/app.js%00.txt", "/%ff.js"]
        for name in names:
            answer = fetch(self.page, name)
            self.assertEqual(404, answer.status, name)
            self.assert_guarded(answer)
            self.assertNotIn("outside", answer.text.replace("There is no such page here.", ""))

    def test_other_methods(self) -> None:
        """Nothing can be put or posted here."""
        for method in ("POST", "PUT", "DELETE"):
            for path in ("/", "/app.js", "/config.json", "/nothing"):
                answer = fetch(self.page, path, method=method)
                self.assertEqual((405, "GET, HEAD"), (answer.status, answer.headers["allow"]))
                self.assert_guarded(answer)

    def test_not_built(self) -> None:
        """Without a build the page says in words how to make one, and appears when it is made, without a restart."""
        absent = self.build.parent / "absent"
        page = softphone_resource("example.test", "1.2.3", None, absent)
        answer = fetch(page)
        self.assertEqual(503, answer.status)
        self.assertIn("python -m sipnode.web.build", answer.text)
        self.assertEqual("no-store", answer.headers["cache-control"])
        self.assert_guarded(answer)
        self.assertEqual(404, fetch(page, "/app.js").status)
        absent.mkdir()
        (absent / "index.html").write_text("here now")
        self.assertIn("here now", fetch(page).text)

    def test_config(self) -> None:
        """config.json names domain and version, says that there's no directory, and isn't kept by any cache."""
        answer = fetch(self.page, "/config.json")
        told = {"domain": "example.test", "version": "1.2.3", "directory": False, "ice": False, "iceServers": []}
        self.assertEqual(told, json.loads(answer.text))
        self.assertEqual("no-store", answer.headers["cache-control"])
        self.assert_guarded(answer)

    def test_ice_servers(self) -> None:
        """config.json names the STUN servers as a browser takes them (RTCIceServer)."""
        page = softphone_resource("example.test", "1.2.3", None, self.build, ["stun:stun.example.test:3478"])
        self.assertEqual([{"urls": "stun:stun.example.test:3478"}], json.loads(fetch(page, "/config.json").text)["iceServers"])

    def test_directory_is_injected(self) -> None:
        """With a directory, config.json says so and directory.json is that resource."""
        page = softphone_resource("example.test", "1.2.3", Data(b"people", "text/plain"), self.build)
        self.assertTrue(json.loads(fetch(page, "/config.json").text)["directory"])
        self.assertEqual(b"people", fetch(page, "/directory.json").body)


class PolicyTests(TestCase):
    """content_security_policy."""

    def test_own_sockets(self) -> None:
        """WebSockets go to the address of the page and nowhere else."""
        policy = content_security_policy(b"127.0.0.1:8080")
        self.assertIn("connect-src 'self' ws://127.0.0.1:8080 wss://127.0.0.1:8080;", policy)
        self.assertIn("wss://[2001:db8::1]:443;", content_security_policy(b"[2001:db8::1]:443"))

    def test_secure_page_has_secure_sockets(self) -> None:
        """A page that came over TLS opens no connection without."""
        self.assertIn("connect-src 'self' wss://example.test;", content_security_policy(b"example.test", secure=True))

    def test_host_cannot_write_policy(self) -> None:
        """A Host header that isn't host and port puts nothing into the policy."""
        for host in (b"a; script-src *", b"a b", b"a,b", b"*", b"x\xff", b"a:8080:9", b"[::1", b"", None, b"a" * 300):
            self.assertIn("connect-src 'self';", content_security_policy(host))


class SourceTests(TestCase):
    """The page's own sources keep what its policy and its readers rely on."""

    SOURCES = Path(__file__).resolve().parents[2] / "sipnode" / "web" / "softphone"

    def text(self, pattern: str) -> dict[str, str]:
        found = {path.name: path.read_text() for path in self.SOURCES.glob(pattern)}
        self.assertTrue(found)
        return found

    def test_nothing_from_elsewhere(self) -> None:
        """No source names another server: the page works without the internet."""
        for pattern in ("*.html", "*.css", "*.js", "*.svg"):
            for name, text in self.text(pattern).items():
                foreign = [found for found in re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text) if found != "http://www.w3.org"]
                self.assertEqual([], foreign, name)

    def test_no_inline_code(self) -> None:
        """What the policy would refuse isn't there: inline scripts, handlers and styles, markup from strings."""
        html = self.text("index.html")["index.html"]
        self.assertEqual([], re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=", html))
        for name, text in self.text("*.js").items():
            self.assertIsNone(re.search(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|new Function)\b", text), name)

    def test_manifest(self) -> None:
        """The page can be installed: its manifest names a place of its own and an icon that is there, and has the right type."""
        manifest = json.loads(self.text("*.webmanifest")["phone.webmanifest"])
        self.assertIn('<link rel="manifest" href="phone.webmanifest">', self.text("index.html")["index.html"])
        for icon in manifest["icons"]:
            self.assertTrue((self.SOURCES / icon["src"]).is_file())
        self.assertEqual("./", manifest["start_url"])
        self.assertIn("application/manifest+json", CONTENT_TYPES.values())

    def test_address_commands_nothing(self) -> None:
        """What stands in an address is read at one place, for the form; a form that is sent without scripts puts nothing there."""
        for name, text in self.text("*.js").items():
            self.assertNotIn("location.search)", text.replace("location.pathname + location.search)", ""), name)
            if name != "account.js":
                self.assertNotIn("location.hash", text, name)
        self.assertRegex(self.text("index.html")["index.html"], r'<form id="signin-form"[^>]* method="post"')

    def test_every_field_has_a_name(self) -> None:
        """Each input, select and button has a label or words of its own, from words.json; those of some buttons change with the call."""
        html = self.text("index.html")["index.html"]
        for tag, attributes in re.findall(r"<(input|select)\b([^>]*)>", html):
            found = re.search(r'\bid="([^"]+)"', attributes)
            name = found.group(1) if found else ""
            label = re.search(rf'<label[^>]*\bfor="{name}"[^>]*data-t=', html)
            wrapped = re.search(rf'<label[^>]*><input id="{name}"[^>]*> <span data-t=', html)
            self.assertTrue("data-t-label=" in attributes or label or wrapped, f"{tag} {name}")
        changing = re.compile(r'id="(banner-button|pass-join|mute|hold|camera|hangup)"')
        for attributes, content in re.findall(r"<button\b([^>]*)>(.*?)</button>", html, re.DOTALL):
            self.assertTrue("data-t" in attributes or "data-t=" in content or changing.search(attributes), attributes)

    def test_ids_that_scripts_use_exist(self) -> None:
        """Every element that the scripts ask for by id is in the page, and no id is there twice."""
        html = self.text("index.html")["index.html"]
        ids = re.findall(r'\bid="([^"]+)"', html)
        self.assertEqual(sorted(set(ids)), sorted(ids))
        for name, text in self.text("*.js").items():
            for wanted in re.findall(r"\$\('([\w-]+)'\)|getElementById\('([\w-]+)'\)", text):
                self.assertIn(wanted[0] or wanted[1], ids, name)
        for icon in re.findall(r'href="#(i-[\w-]+)"', html):
            self.assertIn(icon, ids)

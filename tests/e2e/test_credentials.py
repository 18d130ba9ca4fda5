"""Where Sluice finds AWS credentials, against botocore, over seeded random surroundings.

Each case is a set of environment variables, a config file and a credentials file. Both sides look
around in it and must come to the same source and the same access key, or both to none. STS, the
instance metadata and the container endpoint are played by one local server, which answers with
keys that tell who asked for what, and verifies signatures with botocore's signer.
"""

import datetime
import hashlib
import http.server
import json
import os
import pathlib
import random
import subprocess
import threading
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import botocore.credentials
import botocore.session
import botocore.utils
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build" / "dev"))
TOOL = BUILD / "tests" / "credentials_tool"

CASES = 300
SEED = 20261122

SOURCES = {
    "env": "environment",
    "assume-role": "assume-role",
    "assume-role-with-web-identity": "web-identity",
    "sso": "sso",
    "shared-credentials-file": "shared-credentials-file",
    "custom-process": "credential-process",
    "config-file": "config-file",
    "container-role": "container",
    "iam-role": "instance-metadata",
}
PROFILES = ["default", "a", "b", "c", "two words", "d-1", "Ünï"]
REGIONS = ["us-east-1", "eu-west-1", "ap-southeast-2"]


def secret_of(key_id):
    return "secret/of+" + key_id


def key_from(*facts):
    return "ASIA" + hashlib.sha1("|".join(facts).encode()).hexdigest()[:16].upper()


def in_an_hour():
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Clouds(http.server.BaseHTTPRequestHandler):
    """POST /: STS. /imds-KIND/latest/…: instance metadata of a kind. /container: ECS."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, text, kind="text/plain"):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def keys(self, key_id, token="token"):
        return json.dumps(
            {
                "Code": "Success",
                "AccessKeyId": key_id,
                "SecretAccessKey": secret_of(key_id),
                "Token": token,
                "Expiration": in_an_hour(),
            }
        )

    def do_PUT(self):
        kind = self.path.split("/")[1]
        refused = {"imds-v1": 403, "imds-bad": 400, "imds-broken": 500}.get(kind)
        if refused:
            return self.answer(refused, "")
        if "x-aws-ec2-metadata-token-ttl-seconds" not in self.headers:
            return self.answer(400, "")
        return self.answer(200, "token-of-" + kind)

    def do_GET(self):
        url = urlsplit(self.path)
        kind = url.path.split("/")[1]
        if kind == "container":
            if url.query == "fails":
                return self.answer(500, "{}")
            return self.answer(
                200, self.keys(key_from("container", self.headers.get("Authorization", "none")))
            )
        token = self.headers.get("x-aws-ec2-metadata-token")
        if token != (None if kind in ("imds-v1", "imds-broken") else "token-of-" + kind):
            return self.answer(401, "")
        if kind == "imds-norole":
            return self.answer(404, "")
        path = url.path.split("/", 2)[2]
        if path == "latest/meta-data/iam/security-credentials/":
            return self.answer(200, "the-role")
        if path != "latest/meta-data/iam/security-credentials/the-role":
            return self.answer(404, "")
        if kind == "imds-error":
            return self.answer(200, json.dumps({"Code": "Failed", "Message": "not today"}))
        return self.answer(200, self.keys(key_from("imds", kind)))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
        caller = "nobody"
        if form["Action"] == "AssumeRole":
            caller = self.verify(body)
            if caller is None:
                return self.refuse("SignatureDoesNotMatch")
        elif "Authorization" in self.headers:
            return self.refuse("SignedButShouldNotBe")
        if form["RoleArn"].endswith("/denied"):
            return self.refuse("AccessDenied")
        name = form["RoleSessionName"]
        if name.startswith(("botocore-session-", "sluice-")):
            name = "of the caller's making"
        facts = [form.get(k, "-") for k in ("ExternalId", "DurationSeconds", "WebIdentityToken")]
        key_id = key_from(caller, form["Action"], form["RoleArn"], name, *facts)
        action = form["Action"]
        return self.answer(
            200,
            f"""<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
              <{action}Result><Credentials><AccessKeyId>{key_id}</AccessKeyId>
              <SecretAccessKey>{secret_of(key_id)}</SecretAccessKey>
              <SessionToken>to&lt;k&gt;en+/=</SessionToken>
              <Expiration>{in_an_hour()}</Expiration></Credentials></{action}Result>
              <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>""",
            "text/xml",
        )

    def refuse(self, code):
        return self.answer(
            403,
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message>"
            "</Error></ErrorResponse>",
            "text/xml",
        )

    def verify(self, body):
        """The caller's key id, if botocore would have signed the same."""
        scheme, _, rest = self.headers["Authorization"].partition(" ")
        parts = dict(p.strip().split("=", 1) for p in rest.split(","))
        key_id, date, region, service, _ = parts["Credential"].split("/")
        signed = parts["SignedHeaders"].split(";")
        headers = {name: self.headers[name] for name in signed}
        # Whoever has a session token must have sent and signed it.
        token = self.headers.get("X-Amz-Security-Token")
        if key_id.startswith("ASIA") != bool(token):
            return None
        if token and "x-amz-security-token" not in signed:
            return None
        if not {"host", "x-amz-date"} <= set(signed) or service != "sts":
            return None
        request = AWSRequest("POST", f"http://{self.headers['Host']}{self.path}", headers, body)
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        signer = botocore.auth.SigV4Auth(Credentials(key_id, secret_of(key_id)), service, region)
        to_sign = signer.string_to_sign(request, signer.canonical_request(request))
        return key_id if signer.signature(to_sign, request) == parts["Signature"] else None


@pytest.fixture(scope="module")
def clouds():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Clouds)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


class Case:
    """One random surrounding: files in a folder, an environment, perhaps a named profile."""

    def __init__(self, rng, folder, clouds):
        self.rng, self.folder, self.clouds = rng, folder, clouds
        self.count = 0
        self.environment = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "AWS_CONFIG_FILE": rng.choice([str(folder / "config"), "~/config", "$HOME/config"]),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
            "AWS_ENDPOINT_URL_STS": clouds,
            "AWS_DEFAULT_REGION": rng.choice(REGIONS),
        }
        self.profile = None
        self.bare = self.chance(0.2)  # no files: as in a container, or on an instance
        self.make_environment()
        self.make_metadata()
        self.write("config", self.make_file(lambda name: name if name == "default" else self.header(name)))
        self.write("credentials", self.make_file(lambda name: name))

    def chance(self, probability):
        return self.rng.random() < probability

    def write(self, name, text):
        if text is not None:
            (self.folder / name).write_bytes(text.encode())

    def new_key(self):
        self.count += 1
        return f"AKIA{self.rng.randrange(16**8):08X}{self.count:08X}"

    def make_environment(self):
        env, rng = self.environment, self.rng
        if self.chance(0.15):
            env["AWS_ACCESS_KEY_ID"] = self.new_key()
            if self.chance(0.85):
                env["AWS_SECRET_ACCESS_KEY"] = secret_of(env["AWS_ACCESS_KEY_ID"])
            if self.chance(0.2):
                env["AWS_CREDENTIAL_EXPIRATION"] = in_an_hour()
        elif self.chance(0.05):
            env["AWS_ACCESS_KEY_ID"] = ""
        choice = 1.0 if self.bare else rng.random()
        if choice < 0.35:
            env["AWS_PROFILE"] = rng.choice(PROFILES)
        elif choice < 0.45:
            env["AWS_DEFAULT_PROFILE"] = rng.choice(PROFILES)
        elif choice < 0.7:
            self.profile = rng.choice(PROFILES)
        if self.chance(0.1):
            self.write("env-token", f"jwt.{rng.random()}")
            env["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(self.folder / "env-token")
            if self.chance(0.8):
                env["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/from-env"
            if self.chance(0.5):
                env["AWS_ROLE_SESSION_NAME"] = "from.env"

    def make_metadata(self):
        env, rng = self.environment, self.rng
        if self.chance(0.25):
            env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = rng.choice(
                [self.clouds + "/container"] * 3
                + [
                    self.clouds.replace("127.0.0.1", "localhost") + "/container?x=%2F",
                    self.clouds + "/container?fails",
                    "http://192.0.2.1/container",
                ]
            )
            if self.chance(0.5):
                env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "from the environment"
            if self.chance(0.4):
                self.write("container-token", rng.choice(["Basic abc=", "two\nlines"]))
                env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(self.folder / "container-token")
        kind = rng.choice(["v2"] * 6 + ["v1"] * 3 + ["bad", "broken", "norole", "error", "absent", "off"])
        env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = f"{self.clouds}/imds-{kind}" + rng.choice(["", "/"])
        if kind == "absent":
            env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1"
        if kind == "off":
            env["AWS_EC2_METADATA_DISABLED"] = "True"
        if self.chance(0.1):
            env["AWS_EC2_METADATA_V1_DISABLED"] = "true"

    def header(self, name):
        if " " in name:
            return f'profile "{name}"' if self.chance(0.8) else f"profile {name}"
        return self.rng.choice([f"profile {name}"] * 5 + [f"profile  {name}", f"profile '{name}'", name])

    def make_file(self, header):
        rng = self.rng
        if self.bare or self.chance(0.1):
            return None
        names = [name for name in PROFILES if self.chance(0.75)]
        rng.shuffle(names)
        lines = []
        if self.chance(0.05):
            lines += ["[DEFAULT]", "aws_session_token = inherited"]
        if self.chance(0.01):
            lines += ["stray = entry"]
        for name in names:
            lines += [f"[{header(name)}]"] + self.section(name)
            if self.chance(0.002):
                lines += [f"[{header(name)}]"]
        return rng.choice(["\n", "\n", "\n", "\r\n"]).join(lines) + "\n"

    def section(self, name):
        """Entries of a profile: one to three kinds at once, written in one of many ways."""
        makers = [
            self.static, self.static, self.static, self.role, self.role, self.placed_role,
            self.process, self.process, self.process, self.web_identity, self.sso, self.plain,
        ]  # fmt: skip
        entries = {}
        for maker in self.rng.sample(makers, self.rng.choice([1, 1, 1, 1, 1, 2, 3])):
            entries.update(maker(name))
        items = list(entries.items())
        self.rng.shuffle(items)
        lines = []
        for key, value in items:
            lines += self.entry(key, value)
        return lines

    def entry(self, key, value):
        rng = self.rng
        before = rng.choice([[], [], [], ["# comment"], ["; comment = x"], [""], ["   # indented"]])
        key = rng.choice([key, key, key, key.upper(), key.title()])
        if self.chance(0.001):
            return before + [f"{key} =", f"   {value}"]  # a value on a line of its own: refused
        if self.chance(0.001):
            return before + [key]  # no delimiter
        return before + [key + rng.choice([" = ", "=", ": ", "\t=\t", " =  "]) + value + rng.choice(["", "", " ", "\t"])]

    def static(self, name):
        key = self.new_key()
        entries = {"aws_access_key_id": key, "aws_secret_access_key": secret_of(key)}
        if self.chance(0.07):
            del entries["aws_secret_access_key"]
        elif self.chance(0.05):
            del entries["aws_access_key_id"]
        return entries

    def role_settings(self):
        entries = {"role_arn": "arn:aws:iam::123456789012:role/" + self.rng.choice(["one", "two", "three"] * 4 + ["denied"])}
        if self.chance(0.3):
            entries["role_session_name"] = "me@example.com"
        if self.chance(0.3):
            entries["external_id"] = "ext:1/2+=,.@-" if self.chance(0.5) else "xy"
        if self.chance(0.3):
            entries["duration_seconds"] = self.rng.choice(["900", "3600", "an hour"])
        if self.chance(0.05):
            entries["mfa_serial"] = "arn:aws:iam::1:mfa/me"
        return entries

    def role(self, name):
        return self.role_settings() | {"source_profile": self.rng.choice(PROFILES)}

    def placed_role(self, name):
        places = ["Environment", "EcsContainer"] + ["Ec2InstanceMetadata"] * 5 + ["Elsewhere"]
        return self.role_settings() | {"credential_source": self.rng.choice(places)}

    def process(self, name):
        key, mode = self.new_key(), self.rng.choice(["good"] * 5 + ["expires", "expires", "v2", "fails", "none"])
        program = self.folder / f"get creds {self.count}"
        answer = {"Version": 2 if mode == "v2" else 1, "AccessKeyId": "$1", "SecretAccessKey": secret_of(key)}
        if mode == "expires":
            answer |= {"Expiration": in_an_hour(), "SessionToken": "t"}
        text = json.dumps(answer).replace('"$1"', '"\'"$1"\'"')
        program.write_text(f"#!/bin/sh\necho '{text}'\nexit {1 if mode == 'fails' else 0}\n")
        program.chmod(0o755)
        quoted = self.rng.choice([f'"{program}"', f"'{program}'", str(program).replace(" ", "\\ ")])
        argument = self.rng.choice([key, f'"{key}"', f"{key[:5]}'{key[5:]}'", f"\\{key}"])
        if mode == "none":
            quoted = "/none/such"
        return {"credential_process": f"{quoted}  {argument}"}

    def web_identity(self, name):
        token = self.folder / f"token-{self.count}"
        if self.chance(0.9):
            token.write_text(f"jwt.{self.new_key()}")
        entries = {"web_identity_token_file": str(token)}
        return entries | self.role_settings() if self.chance(0.9) else entries

    def sso(self, name):
        if self.chance(0.8):
            return self.plain(name)
        return {
            "sso_account_id": "1", "sso_role_name": "r",
            "sso_region": "us-east-1", "sso_start_url": "https://example.com",
        }  # fmt: skip

    def plain(self, name):
        nested = "\n  max_queue_size = 10\n\n  # deeper\n    addressing_style = path"
        more = self.rng.choice([{}, {"output": "json"}, {"note": "a\n  b = c"}, {"s3": nested}])
        return {"region": self.rng.choice(REGIONS)} | more

    def describe(self):
        files = [p for p in sorted(self.folder.iterdir()) if p.name in ("config", "credentials")]
        texts = [f"--- {p.name}\n{p.read_text()}" for p in files]
        aws = {k: v for k, v in self.environment.items() if k.startswith("AWS_")}
        return f"profile {self.profile}\n{json.dumps(aws, indent=1)}\n" + "\n".join(texts)


def no_prompt(*args, **kwargs):
    raise RuntimeError("an MFA code was asked for")


def ask_botocore(case):
    """(source, key id, token), or None with botocore's reason."""
    with mock.patch.dict(os.environ, case.environment, clear=True):
        try:
            found = botocore.session.Session(profile=case.profile).get_credentials()
            if found is None:
                return None, "none found"
            frozen = found.get_frozen_credentials()
            return (SOURCES[found.method], frozen.access_key, frozen.token or ""), None
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"


def ask_sluice(case):
    command = [str(TOOL)] + ([case.profile] if case.profile else [])
    sanitizers = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    done = subprocess.run(
        command, env=case.environment | sanitizers, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if "error" in answer:
        return None, answer["error"]
    return (answer["source"], answer["access_key_id"], answer["session_token"]), None


def test_same_credentials_as_botocore(tmp_path, clouds, monkeypatch):
    monkeypatch.setattr(botocore.utils.ContainerMetadataFetcher, "SLEEP_TIME", 0)
    monkeypatch.setattr(botocore.credentials.getpass, "getpass", no_prompt)
    # Bound as a default argument when the class was made.
    monkeypatch.setattr(
        botocore.credentials.AssumeRoleProvider.__init__,
        "__defaults__",
        tuple(
            no_prompt if callable(d) else d
            for d in botocore.credentials.AssumeRoleProvider.__init__.__defaults__
        ),
    )
    rng = random.Random(SEED)
    seen = {}
    for number in range(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        case = Case(rng, folder, clouds)
        theirs, their_reason = ask_botocore(case)
        ours, our_reason = ask_sluice(case)
        assert ours == theirs, (
            f"case {number}\nbotocore: {theirs} {their_reason}\nsluice:   {ours} {our_reason}\n"
            + case.describe()
        )
        if our_reason:
            assert "secret/of" not in our_reason
        seen[ours[0] if ours else None] = seen.get(ours[0] if ours else None, 0) + 1
    # What the comparison is worth: every source won several times, and so did having none.
    for source in [*SOURCES.values(), None]:
        if source != "sso":
            assert seen.get(source, 0) >= 4, seen


def test_bearer_token(tmp_path, clouds):
    """Bedrock's API key goes before all else; botocore sends it as a bearer token."""
    case = Case(random.Random(1), tmp_path, clouds)
    case.profile = None
    case.environment = {
        "HOME": str(tmp_path),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-abc=",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    with mock.patch.dict(os.environ, case.environment, clear=True):
        token = botocore.session.Session().get_auth_token(signing_name="bedrock")
    done = subprocess.run([str(TOOL)], env=case.environment, capture_output=True, text=True, timeout=60)
    answer = json.loads(done.stdout)
    assert answer["bearer"] == token.token == "bedrock-api-key-abc="
    assert answer["source"] == "bearer-token"
    assert answer["access_key_id"] == ""

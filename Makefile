# make run          a server, its rtpengine and two users, on this machine; installs what is missing
# make run HOST=…   the same for the network of the address …, over https and wss
# make run starts the server compiled from the second time on, where a C compiler is (SIPNODE_COMPILE=0 make run: never)
# make test         unit, flow and live tests; T=tests.registrar runs a part
# make help         the other goals

SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
SHARED ?= ../shared
T ?= tests
export PYTHON
# Puts what is compiled first on the path. What isn't yet is meanwhile, for the next start: nobody waits minutes for a first call.
NATIVE = lib=$$($(BIN)/python backend/sipnode_compile.py --beside) && export PYTHONPATH=$$lib &&
# The same where COMPILED=1 asks for it, which then has to be.
AS_ASKED = $(if $(COMPILED),lib=$$(SIPNODE_COMPILE=1 $(BIN)/python backend/sipnode_compile.py) && export PYTHONPATH=$$lib &&)

.PHONY: help run test lint lock docs acceptance corpus cases attack troubles unkillable bench bench-postgres bench-tls bench-durable bench-freeze bench-abuse bench-observed bench-presence bench-media bench-idle bench-console instructions compile compiled leaf wheel packaging recipe picture changes web clean

help:
	@echo 'run [HOST=ADDRESS SIP_PORT=5060 HTTP_PORT=8080]   server, rtpengine and two users to try'
	@echo 'test [T=tests.sip]                                unit, flow and live tests'
	@echo 'lint                                              ruff and mypy'
	@echo 'docs                                              the manual, to docs/_build/html'
	@echo 'lock                                              requirements/*.txt anew: the newest versions, with their hashes'
	@echo 'web                                               the softphone page, from npm packages'
	@echo 'wheel                                             a wheel with the page in it, to dist/, compiled where that can be'
	@echo 'recipe                                            the recipe of the README, typed on a bare Debian 12 (root)'
	@echo 'picture                                           the picture of the README, from Chromium'
	@echo 'changes                                           CHANGES.rst from newsfragments/, for a release'
	@echo 'packaging                                         installs and starts it on every Python >= 3.11 found here'
	@echo 'compile                                           the modules of backend/compiled.txt by mypyc, as run does where gcc and Python.h are'
	@echo 'compiled                                          the unit and flow tests against what was compiled'
	@echo 'leaf [ROUNDS=20000]                               the part in C against the one in Python, each access to memory watched'
	@echo 'acceptance [ONLY=webrtc-sip,register-wss]         (as the next three, with COMPILED=1 compiled) the checks of $(SHARED)/e2e against a server of its own'
	@echo 'corpus                                            the messages of $(SHARED)/corpus against a server of its own'
	@echo 'cases [ONLY=c01,media:c12]                        programs made after bug reports, of $(SHARED)/cases, against a server of its own'
	@echo 'attack [ONLY=a05,a12]                             the attacks of $(SHARED)/cases/attack, each on a server of its own'
	@echo 'troubles                                          troubles with a relay, staged: what everybody says, to docs/howto/troubleshooting.rst'
	@echo 'unkillable                                        what calls outlive, with real sound: the table of docs/understand/unkillable.rst'
	@echo 'bench [SEARCH=1 PURE=1 PYTHON=/usr/bin/python3]   cost beside Kamailio, compiled or pure, to docs/understand/performance.rst'
	@echo 'instructions [COMPILED=1]                         instructions of a call and a REGISTER, against bench/instructions.toml'
	@echo 'bench-abuse, bench-observed                       what others feel of one who attacks; what being seen and guarded costs'
	@echo 'bench-postgres, bench-durable, bench-freeze       the same with a database, and what survives its end and ours'
	@echo 'bench-tls [ONLY=wss_open,idle_memory IDLE=10000]  TLS and secure WebSocket beside Kamailio'
	@echo 'bench-presence [RUNS=3]                           PUBLISH, NOTIFY and subscriptions beside Kamailio'
	@echo 'bench-media [RUNS=3 ONLY=silent,killed,call]      a call with rtpengine beside Kamailio with its module; silent and killed nodes, killed9'
	@echo 'bench-idle                                        how long an idle server takes for a REGISTER with digest'
	@echo 'bench-console                                     how late the console is, and how much a recorded call takes'
	@echo 'clean                                             removes what the goals above made, but .venv and .demo'

run:
	@tools/setup.sh run
	@$(BIN)/python -m sipnode.web.build
	@$(NATIVE) exec $(BIN)/sipnode demo $(if $(HOST),--host $(HOST)) $(if $(SIP_PORT),--sip-port $(SIP_PORT)) $(if $(HTTP_PORT),--http-port $(HTTP_PORT))

web:
	@tools/setup.sh web
	@$(BIN)/python -m sipnode.web.build

test:
	@tools/setup.sh test
	@$(BIN)/python -m sipnode.web.build
	@$(BIN)/python tools/run_tests.py $(T)

lint:
	@tools/setup.sh test
	$(BIN)/ruff check sipnode tests tools bench docs conf twisted
	$(BIN)/mypy

lock:
	@tools/setup.sh web
	@$(BIN)/python tools/lock.py

docs:
	@tools/setup.sh test
	$(BIN)/python -m sphinx -W -q -b html docs docs/_build/html
	@echo 'docs/_build/html/index.html'

acceptance:
	@tools/setup.sh acceptance
	@$(BIN)/python -m sipnode.web.build
	@$(AS_ASKED) $(BIN)/python tools/acceptance.py --e2e $(SHARED)/e2e $(if $(ONLY),--only $(ONLY))

corpus:
	@tools/setup.sh test
	@$(AS_ASKED) $(BIN)/python tools/corpus.py --corpus $(SHARED)/corpus $(if $(ONLY),--only $(ONLY))

cases:
	@tools/setup.sh test
	@$(AS_ASKED) $(BIN)/python tools/cases.py --cases $(SHARED)/cases $(if $(ONLY),--only $(ONLY))

troubles:
	@tools/setup.sh bench
	@$(BIN)/python tools/troubles.py

unkillable:
	@tools/setup.sh test
	@$(BIN)/python -m sipnode.web.build
	@$(BIN)/python -m twisted.trial --temp-directory=_trial_temp_unkillable tests.live.unkillable

attack:
	@tools/setup.sh test
	@$(BIN)/python -m sipnode.web.build
	@$(AS_ASKED) $(BIN)/python tools/attack.py --cases $(SHARED)/cases/attack $(if $(ONLY),--only $(ONLY))

bench:
	@tools/setup.sh bench
	@$(BIN)/python bench/compare.py --bench $(SHARED)/bench $(if $(ONLY),--only $(ONLY)) $(if $(SEARCH),--search) \
		$(if $(PURE),--pure) $(if $(filter-out file,$(origin PYTHON)),--python $(PYTHON))

bench-postgres:
	@tools/setup.sh bench
	@$(BIN)/python bench/postgres.py --bench $(SHARED)/bench $(if $(RUNS),--runs $(RUNS))

bench-tls:
	@tools/setup.sh bench
	@$(BIN)/python bench/tls.py --bench $(SHARED)/bench $(if $(RUNS),--runs $(RUNS)) $(if $(IDLE),--idle $(IDLE)) $(if $(ONLY),--only $(ONLY))

bench-presence:
	@tools/setup.sh bench
	@$(BIN)/python bench/presence.py --bench $(SHARED)/bench $(if $(RUNS),--runs $(RUNS))

bench-media:
	@tools/setup.sh bench
	@$(BIN)/python bench/media.py --bench $(SHARED)/bench $(if $(RUNS),--runs $(RUNS)) $(if $(ONLY),--only $(ONLY)) $(if $(PURE),--pure)

bench-idle:
	@tools/setup.sh bench
	@$(NATIVE) $(BIN)/python bench/idle.py

bench-console:
	@tools/setup.sh bench
	@$(NATIVE) $(BIN)/python bench/console.py

bench-durable:
	@tools/setup.sh bench
	@$(BIN)/python bench/survive.py --bench $(SHARED)/bench $(if $(ROUNDS),--rounds $(ROUNDS))

bench-freeze:
	@tools/setup.sh bench
	@$(BIN)/python bench/survive.py --bench $(SHARED)/bench --freeze 60
	@$(BIN)/python bench/outage.py --bench $(SHARED)/bench --seconds 120

bench-abuse:
	@tools/setup.sh bench
	@$(BIN)/python bench/abuse.py $(if $(RUNS),--runs $(RUNS))

bench-observed:
	@tools/setup.sh bench
	@$(BIN)/python bench/observed.py --bench $(SHARED)/bench $(if $(RUNS),--runs $(RUNS))
	@$(BIN)/python bench/instructions.py --recorded --only call $(if $(COMPILED),--compiled)

instructions:
	@tools/setup.sh test
	@$(if $(COMPILED),SIPNODE_COMPILE=1 $(BIN)/python tools/compiled.py --keep &&) $(BIN)/python bench/instructions.py $(if $(COMPILED),--compiled)

compile:
	@tools/setup.sh compiled
	@SIPNODE_COMPILE=1 $(BIN)/python backend/sipnode_compile.py

compiled:
	@tools/setup.sh compiled
	@$(BIN)/python tools/compiled.py

leaf:
	@tools/setup.sh compiled
	@$(BIN)/python tools/leaf.py $(if $(ROUNDS),--rounds $(ROUNDS))

wheel: web
	@tools/setup.sh wheel
	@$(BIN)/python backend/sipnode_compile.py >/dev/null
	$(BIN)/python -m pip wheel --disable-pip-version-check -q --no-deps --no-build-isolation -w dist .
	@ls dist/*.whl

packaging: web
	@$(BIN)/python tools/installations.py

recipe:
	@tools/setup.sh test
	@$(BIN)/python tools/recipe.py

picture:
	@tools/setup.sh test
	@$(BIN)/python -m sipnode.web.build
	@SIPNODE_PICTURE=$(CURDIR)/docs/images/call.png $(BIN)/python tools/run_tests.py tests.live.test_picture

changes:
	@tools/setup.sh test
	@$(BIN)/towncrier build --yes --version $$($(BIN)/python -c 'import sipnode; print(sipnode.__version__)')

clean:
	rm -rf build dist .work docs/_build sipnode/web/static/build _trial_temp* .mypy_cache .ruff_cache .hypothesis *.egg-info

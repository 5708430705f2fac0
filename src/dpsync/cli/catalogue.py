"""What each DP code means and what to do about it: `dpsync explain`, without any network."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explained:
    """`title` in a few words, `meaning` in full, `way_out` as steps that a person can take."""

    title: str
    meaning: str
    way_out: str


CATALOGUE: dict[str, Explained] = {
    "DP-100": Explained(
        "A fault of dpsync itself",
        "Something happened that this program did not expect. What was committed before stays committed. Work that "
        "was under way was not written, or is marked as in doubt: dpsync reads it back before it repeats it.",
        "Run the command again with -vv and report the trace that it prints. Read the trace first: it may hold "
        "what you typed.",
    ),
    "DP-101": Explained(
        "The command cannot be understood",
        "An option is unknown, missing or does not fit another. Nothing was changed.",
        "`dpsync COMMAND --help` shows the options.",
    ),
    "DP-102": Explained(
        "There is nothing with that name",
        "No request, processor, file or code has this name, or more than one request begins like this. Nothing was "
        "changed.",
        "`dpsync status --all` lists the requests, `dpsync processors` the processors.",
    ),
    "DP-103": Explained(
        "Another program is using the database",
        "Another dpsync process works on this database, or another program has held it for too long: a back-up "
        "tool, an open database shell, a locked table. Nothing was stored of the work that waited.",
        "If `dpsync serve` is running, there is nothing to do: it does the work. If not, let the process that the "
        "message names finish, or end it. Then run the command again.",
    ),
    "DP-104": Explained(
        "The receiver cannot listen",
        "Another program uses the address in intake.listen, or it is not an address of this machine, or it needs "
        "more rights.",
        "Find out who listens there (`ss -ltnp`), or choose another port in [intake] listen.",
    ),
    "DP-105": Explained(
        "A file cannot be read or written",
        "The operating system refused access to the file or folder in the message. Nothing else was changed.",
        "Check its owner and mode, and whether the disk is full.",
    ),
    "DP-106": Explained(
        "A part of the service stopped or hung",
        "The worker, the timed jobs or the receiver gave no sign of life, so the whole service stopped. What was "
        "committed stays. dpsync reads back first what was under way.",
        "systemd starts it again (docs/operating.md). If this happens again, report what the log says before it.",
    ),
    "DP-107": Explained(
        "The machine does not have enough resources",
        "There was too little time, memory or open files: work that takes seconds did not finish within minutes, "
        "or the system refused to give more.",
        "Look at what else runs on the machine (`top`) and at its limits (`ulimit -a`). Then try again.",
    ),
    "DP-108": Explained(
        "The answer could not be printed",
        "Standard output did not take all that the command prints: its disk is full, its reader has gone, or it is "
        "closed. The command still ran to its end. Standard error says whether anything is stored, and under which "
        "id. The exit code is 74, or the command's own.",
        "If something is done, do not run the command again: `dpsync status` shows it. You can run a command again "
        "that only reads, once there is room or a reader.",
    ),
    "DP-110": Explained(
        "This decision does not fit the state",
        "It is too late for this decision, or too early: you cannot withdraw what was sent, or release what is not "
        "held. Nothing was changed.",
        "`dpsync status REQUEST` shows where it stands at each processor, `dpsync dossier REQUEST` how it got there. "
        "If an erasure was a mistake and is done, record it: `dpsync incident open --kind mistaken_erasure --about "
        "REQUEST --what WORDS --by NAME`.",
    ),
    "DP-201": Explained(
        "The settings are wrong",
        "The settings file is missing, is not TOML, or holds a value that is not allowed. dpsync lists every fault "
        "at once with the full path of its key. It never repeats a value.",
        "Correct each line that is listed, then run `dpsync check --offline`. A value that is missing only in this "
        "shell (an environment variable of the service) is missing for this command too.",
    ),
    "DP-202": Explained(
        "The keys are missing, readable by others, or the wrong ones",
        "The key directory holds the signing key, the pepper and the month keys. A database works only with the "
        "keys that it was made with. With other keys dpsync refuses it, and overwrites nothing.",
        "Restore the right directory from its back-up. The user that runs dpsync must own it, with mode 0700, and "
        "its files 0600. Never make new keys for an old database: dpsync does not replace a lost month key, and "
        "accepts no request until it is back. `dpsync verify` names each request that cannot be opened.",
    ),
    "DP-203": Explained(
        "The database cannot be used",
        "It cannot be opened, is empty, is lost (checkpoints, journal or receipts show that its ledger existed), "
        "is of another version, or holds another ledger than the settings name.",
        "Restore a lost database from its newest copy (docs/operating.md, Restore). dpsync makes none in its "
        "place. For a new one, or one of an older version: stop the service, then run `dpsync init`. For one of a "
        "newer version: install the newer dpsync again. For another ledger: set [store] url and [ledger] origin to "
        "the pair that belongs together.",
    ),
    "DP-204": Explained(
        "A secret is not set here",
        "The settings take a secret from an environment variable or a file. In this shell that is empty, missing, "
        "or not readable by this user. The settings themselves may be right.",
        "Run the command as the service's user with the service's environment, or put the secret where the key "
        "points. `dpsync status`, `report`, `dossier` and `verify` need no secrets.",
    ),
    "DP-205": Explained(
        "The database is not available",
        "PostgreSQL does not answer, is starting or stopping, or the disk is full. Nothing was written. What was "
        "committed before stays. `dpsync serve` waits for it, answers 503 meanwhile, and then goes on.",
        "Look at the database server and its log, and at the free space on the disk. Then try again.",
    ),
    "DP-206": Explained(
        "A package that this part needs is not installed",
        "dpsync was installed without an extra: `sandbox` (for `dpsync sandbox` and `dpsync demo`), `postgresql` "
        "(for a database at postgresql://), `apprise` (for [alerts] urls) or `pdf` (for reports as PDF). Or libraries "
        "of the system are missing that the extra needs. Everything else works without it.",
        "In the folder of dpsync's source, run `pip install '.[sandbox]'`, or the extra that is named, with the "
        "pip of the environment that dpsync runs in. `make install` installs all of them. `pdf` also needs "
        "libpango-1.0-0, libpangoft2-1.0-0 and libharfbuzz-subset0, as Debian and Ubuntu call them.",
    ),
    "DP-210": Explained(
        "Something on our side towards a processor is wrong",
        "A call to a processor or to the mail host failed for a reason that lies with this installation.",
        "`dpsync check` names the processor and the reason.",
    ),
    "DP-211": Explained(
        "A processor does not answer",
        "The processor gave no answer, or one that its documentation does not describe.",
        "Look at its status page and at your own network. dpsync tries requests again for days by itself.",
    ),
    "DP-212": Explained(
        "A processor rejects our credential",
        "It answered 401 or 403: the key is wrong, revoked, or lacks a permission. dpsync has stopped its account, "
        "and counts no attempt for any request.",
        "Make a new key at the processor and put it where the settings point. Run `dpsync check`, then `dpsync "
        "resume PROCESSOR`.",
    ),
    "DP-213": Explained(
        "A connector was asked to do what it cannot do",
        "This is a fault of dpsync: a right that a connector does not declare must go by notice.",
        "Report it, with the names of the connector and the right.",
    ),
    "DP-214": Explained(
        "Something else answers in place of a processor",
        "The answer is not the processor's own: a web page, an empty body, a proxy's refusal, or unknown JSON. A "
        "firewall, a proxy, a sign-in page or the processor's own gateway blocks this machine's address or asks it "
        "to sign in. A single such answer may be a limit. Requests wait, no attempt is counted, and dpsync "
        "tries again by itself.",
        "Find out which address of this machine the processor sees, and call its interface from there by hand "
        "(`curl -i`). Ask your network's administrator to let it through, or ask the processor to unblock the "
        "address.",
    ),
    "DP-220": Explained(
        "Two accounts use one secret",
        "Two processors use the same secret but name different accounts. dpsync works on each account separately, "
        "so together they would exceed the processor's limits and could overtake each other.",
        'Give both sections the same `account = "..."`, or give each its own secret.',
    ),
    "DP-221": Explained(
        "Nothing is sent to a processor, because its account is stopped",
        "Somebody paused it, or it rejected our credential. dpsync still accepts requests and their legal dates "
        "run, but it sends nothing until a person resumes the account.",
        "Correct what is wrong (after a new key, `dpsync check` must find it good). Then run `dpsync resume "
        "PROCESSOR`.",
    ),
    "DP-301": Explained(
        "Nobody would notice if the alerts failed",
        "There is no channel for alerts, or only one and no heartbeat. If that channel fails, nobody hears.",
        "Add a second URL to [alerts] urls, or set [alerts] heartbeat to a watch service outside this machine. "
        "Then run `dpsync check --send-test`.",
    ),
    "DP-302": Explained(
        "A channel for alerts does not work",
        "Its server did not accept the test, or dpsync does not know this kind of URL.",
        "Correct [alerts] urls or [mail], then run `dpsync check --send-test`. A server that accepts an alert does "
        "not prove that somebody read it: look into the inbox.",
    ),
    "DP-303": Explained(
        "The mail host does not accept our mail",
        "It does not answer, does not offer TLS with a valid certificate, refuses our password or access token, or "
        "accepts nothing from us: not from senders like bounce+TAG@ at our domain, not for other hosts, or not of this "
        "size. Or its token endpoint gives no access token: the text in brackets says which setting to look at. "
        "Notices to processors and questions to contacts wait. No processor has refused anything.",
        "Correct [mail] and [mail.oauth], or have the mail host accept those senders and relay for us. If it cannot "
        '(Microsoft 365), set `bounces = "mailbox"`. `dpsync check --send-test` sends an email as letters go.',
    ),
    "DP-304": Explained(
        "Incoming mail cannot be read",
        "The folder [mail] incoming does not exist, or the service's user may not read, write and enter it. Nobody "
        "reads bounces and replies.",
        "Create the folder, or correct its owner. `dpsync check` looks again. dpsync then reads what is in it.",
    ),
    "DP-305": Explained(
        "The month's report did not reach the data protection officer",
        "The mail host did not accept it, or it came back. dpsync tries again every hour, but not after it came back.",
        "Correct [mail], or `dpo` in [controller], and restart. Make the report by hand and pass it on: `dpsync report "
        "--month 2026-11 -o report.html`.",
    ),
    "DP-306": Explained(
        "The daily checkpoint did not reach the data protection officer",
        "The mail host did not accept it, or did not answer. Until it arrives, the newest proof lies only with you, on "
        "the disks that you run. dpsync tries again every hour.",
        "Correct [mail], or `dpo` in [controller], and restart. `dpsync check --send-test` tries it. If the DPO wants "
        "no copy: `[mail] daily_checkpoint = false`.",
    ),
    "DP-320": Explained(
        "No public address is set",
        "Without [intake] public_url, emails have no links: processors cannot answer by link and contacts cannot "
        "confirm their address. Commands (`dpsync acknowledge`) still work. If it is not an https address, the DPO "
        "cannot decide by link: the page would show a person's name to the network.",
        "Set public_url to the https address under which processors reach this service.",
    ),
    "DP-321": Explained(
        "A webhook secret cannot be used",
        "A secret in [intake] secrets is not `whsec_` followed by the base64 of 24 to 64 bytes, is still the "
        "placeholder, or is there twice. With a malformed one `dpsync serve` does not start. With a well-known one "
        "anybody can ask for erasures.",
        "Make a new one with `printf whsec_; openssl rand -base64 32`. Put it where the settings point, with mode "
        "0600, and give the same one to the main database.",
    ),
    "DP-322": Explained(
        "dpsync refused requests",
        "Your main database (or a processor, by its own webhook) sent something that cannot become a request: a "
        "missing or malformed field, an event id that was used before, a clock that is wrong. The sender got a 4xx "
        "with the reason. If it sends once and forgets, somebody's request is lost while its legal dates run.",
        "Look in the sender's log for the field that `dpsync check` names. Correct what it sends, and have it sent "
        "again. If that takes time, enter the request with `dpsync submit --received DATE`.",
    ),
    "DP-330": Explained(
        "A timed job did not run when it was due",
        "Reminders, checkpoints and alerts are timed jobs. They run in `dpsync serve`, or when a timer calls "
        "`dpsync run-once`.",
        "Start the service. It makes up for what was missed.",
    ),
    "DP-331": Explained(
        "The clock does not fit what is stored",
        "The clock is behind the newest stored time, far ahead of it, or not the same as the database server's. "
        "Legal dates and deadlines follow this clock.",
        "Set the clock (`timedatectl`), and look at requests that came in while it was wrong. If it is right and "
        "nothing ran for a quarter of a year, there is nothing to do.",
    ),
    "DP-340": Explained(
        "Private conversations are kept too long, or nobody looks",
        "Some should have been deleted at the processor by now and nobody says that they are. Or for more than a "
        "month nobody checked an export, or looked at the open ones. No interface of the processor can delete them.",
        "`dpsync retention show` lists them. Ask the admin to delete them there and to answer by the link of the "
        "work list, or record it with `dpsync retention attest`. Then run `dpsync retention check` and `dpsync "
        "retention state-open`.",
    ),
    "DP-341": Explained(
        "The review of a processor is overdue",
        "The day in `review_by` of its entry in the register is over, so nobody may have looked since at the contract, "
        "at the data, at the country and at how long they are kept.",
        "`dpsync register` shows the entry. Review it, correct the settings, and set the next `review_by`.",
    ),
    "DP-342": Explained(
        "A processor has left, and its section is still in the settings",
        "The day in `leaving` is over. dpsync goes on telling the processor of every request, because it may still "
        "hold data. It does not ask for the erasure or return of all data at the end of the contract.",
        "Ask for it in writing (Art. 28(3)(g)) and keep the confirmation. When no request is open there, take its "
        "section out of the settings.",
    ),
    "DP-400": Explained(
        "This cannot become a request",
        "The receiver, or a command, was given something that is not a request.",
        "The message says what is wrong. For a webhook, the sender was told as well.",
    ),
    "DP-401": Explained(
        "The signature is not valid",
        "A webhook came without a valid signature under one of the secrets in [intake] secrets, or is too old.",
        "Compare the secret at the sender, and both clocks. The sender is told nothing but 401.",
    ),
    "DP-409": Explained(
        "This event id was used before, with another body",
        "An event id stands for one event for ever. The first event counts. Nothing was changed.",
        "Use a new id for a new event. If a sender did this by itself, look at its log.",
    ),
    "DP-422": Explained(
        "A field of the request is wrong",
        "The named field is missing, unknown or not of the documented form. dpsync never repeats its value. "
        "Nothing was changed.",
        "Correct that field and send it again. You can use the same id, because nothing was accepted under it.",
    ),
    "DP-500": Explained(
        "An impossible step",
        "This is a fault of dpsync or a race: a propagation should have gone from one state to another that cannot "
        "follow it.",
        "Report it with the dossier of the request. The state was not changed.",
    ),
    "DP-600": Explained(
        "Something is wrong with the proof",
        "The ledger, a checkpoint or a receipt is not as it should be.",
        "`dpsync verify` names the place.",
    ),
    "DP-601": Explained(
        "The ledger could not be verified",
        "The record in the database is not the one that was signed, or is older than a checkpoint that is kept "
        "outside. Somebody changed it, or restored an old back-up. dpsync sends and signs nothing more.",
        "Keep every copy as it is. `dpsync verify` names the place. Compare with the checkpoints that the data "
        "protection officer holds, and find out who did what before you go on. If an old back-up was restored: "
        "`dpsync recover`.",
    ),
    "DP-602": Explained(
        "A checkpoint or receipt cannot be trusted",
        "It is not signed by the key that was expected, or not written in the one way that the format allows.",
        "Ask for the file again, unchanged. Compare the key with the one that the data protection officer was given.",
    ),
    "DP-603": Explained(
        "A row in the database does not agree with the ledger",
        "The ledger is as it was signed, but somebody wrote to a table without dpsync. A request is shown further, "
        "less far, earlier or later than the record says, or is gone. Or a decision, an answer, a letter or a call "
        "that is kept as proof was changed, added or removed. Reports say so, and you must not rely on them.",
        "Keep a copy. `dpsync verify` names request, processor and column; `dpsync dossier REQUEST` shows what is "
        "on the record. Find out who wrote there. Then set it back to what the ledger says, or restore the "
        "database.",
    ),
    "DP-604": Explained(
        "A file that keeps the proof outside the database is damaged or missing",
        "A checkpoint in the anchor folder is empty, cut off, not signed by a key of this ledger, under the wrong "
        "number, or gone. Or the receipts folder or the journal of accepted requests is missing, is something "
        "else, or cannot be written by this user, or a line of the journal does not open. That alone does not mean "
        "that anybody changed the ledger, but it can no longer prove what it proved. dpsync makes nothing in its "
        "place.",
        "Is the disk mounted? Is it full? Who owns the folder? The message names the command that helps. Restore a "
        "lost file from its copy. If it is lost for good, let the data protection officer compare the checkpoints "
        "that they hold. Then rename what is damaged to a name that ends in `.gap`, or make an empty file with the "
        "name in the message. dpsync records that.",
    ),
    "DP-605": Explained(
        "Accepted requests are missing from the database",
        "The journal beside the checkpoints lists requests that were answered 202, or entries, that the database "
        "does not have. Its newest writes were lost: a `-wal` file was left behind or deleted, an older copy was "
        "restored, or a disk lied. dpsync sends nothing and no command writes until a person has looked.",
        "Put the database and its `-wal` file back together, or restore the newest back-up. If they are gone for "
        "good: tell the data protection officer, run `dpsync recover`, and have the main database send all events "
        "since then again, under their old ids. See docs/operating.md, Restore.",
    ),
    "DP-606": Explained(
        "The database is older than what is known outside",
        "It was put back from a back-up, or a witness has cosigned more of the ledger than there is, or other entries. "
        "Requests that were accepted since are missing, and what the database calls open may be done. Nothing is "
        "signed, no service starts and no command writes, before a person has decided to go on.",
        "Find out which it was. If it was a back-up: run `dpsync recover --by NAME --reason WHY`, together with the "
        "data protection officer. It pauses every processor, lists what is missing, and records the gap. If it was "
        "not: somebody changed the ledger. Keep every copy as it is. See docs/operating.md, Restore.",
    ),
    "DP-700": Explained(
        "The demo and the sandbox do not agree",
        "The demo counts at both ends. What dpsync says and what its sandbox saw are not the same, or the story "
        "did not end in time.",
        "Look into serve.log in the demo's folder, and report it with that file. It holds only invented people.",
    ),
}

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
        "Something happened that this program did not foresee. What was committed before stays committed; what was "
        "under way was not written, or is marked as in doubt and is read back before it is repeated.",
        "Run the command again with -vv and report the trace it prints. Look it through first: a trace may hold "
        "what you typed.",
    ),
    "DP-101": Explained(
        "The command cannot be understood",
        "An option is unknown, missing or does not fit another. Nothing was changed.",
        "`dpsync COMMAND --help` shows what fits.",
    ),
    "DP-102": Explained(
        "There is nothing of that name",
        "No request, processor, file or code is called so, or more than one request begins so. Nothing was changed.",
        "`dpsync status --all` lists the requests, `dpsync processors` the processors.",
    ),
    "DP-103": Explained(
        "Somebody else holds it just now",
        "Another dpsync process drives this database, or another program has held it for longer than is waited: a "
        "back-up tool, an open database shell, a table that is locked. Nothing of what waited was stored.",
        "Where a `dpsync serve` is running there is nothing to do: it does the work. Otherwise let the process that is "
        "named finish, or end it, and give the command again.",
    ),
    "DP-104": Explained(
        "The receiver cannot listen",
        "The address in intake.listen is taken by another program, is not of this machine, or needs more rights.",
        "See who listens there (`ss -ltnp`), or choose another port in [intake] listen.",
    ),
    "DP-105": Explained(
        "A file cannot be read or written",
        "The operating system refused the file or folder that was named. Nothing else was changed.",
        "Look at its owner and mode, and whether the disk is full.",
    ),
    "DP-106": Explained(
        "A part of the service ended, or hung",
        "The worker, the timed jobs or the receiver gave no sign of life, so the whole service ended. What was "
        "committed stands; what was under way is in doubt and is read back first.",
        "systemd starts it again (docs/operating.md). If it comes back, report what the log says before it.",
    ),
    "DP-107": Explained(
        "The machine has too little for it",
        "Too little time, memory or open files: what takes seconds was not through within minutes, or the system "
        "refused to give more.",
        "Look at what else runs there (`top`) and at its limits (`ulimit -a`), then try again.",
    ),
    "DP-108": Explained(
        "The answer could not be printed",
        "Standard output took not all of what the command says: its disk is full, its reader has gone, it is closed. "
        "The command went on to its end all the same. Standard error says whether anything is stored, and under which "
        "id; the exit code is 74, or what the command itself found.",
        "Where something is done, do not give the command again: `dpsync status` shows it. What only reads may be "
        "given again, once there is room or somebody who reads.",
    ),
    "DP-110": Explained(
        "This decision does not fit the state",
        "What was asked for cannot be decided any more, or not yet: what has gone cannot be withdrawn, what is not "
        "held cannot be released. Nothing was changed.",
        "`dpsync status REQUEST` shows where it stands at each processor, `dpsync dossier REQUEST` how it got there.",
    ),
    "DP-201": Explained(
        "The settings are wrong",
        "The configuration file is missing, is not TOML, or says something that cannot be so. Every fault is "
        "listed at once with the full path of its key; values are never repeated.",
        "Put right each line that was listed, then `dpsync check --offline`. A value that is absent only here (an "
        "environment variable of the service) is absent for this command too.",
    ),
    "DP-202": Explained(
        "The keys are missing, readable by others, or not the right ones",
        "The key directory holds the signing key, the pepper and the month keys. A database is bound to the keys it "
        "was made with; with others it is refused, and nothing is overwritten.",
        "Put the right directory back from its back-up, owned by the user that runs dpsync, mode 0700, files 0600. "
        "Never make new keys for an old database: a month key that is lost is never made anew, and no request is "
        "accepted before it is back. `dpsync verify` names each request that cannot be opened.",
    ),
    "DP-203": Explained(
        "The database cannot be used",
        "It cannot be opened, is empty, is lost (checkpoints, journal or receipts beside it tell of its ledger), is of "
        "another version, or holds another ledger than the settings name.",
        "A lost one is put back from its newest copy (docs/operating.md, Restore), and none is made in its place. For "
        "a new one, or one of an older version: stop the service, then `dpsync init`. For one of a newer version: "
        "install the newer dpsync again. For another ledger: point "
        "[store] url and [ledger] origin at the pair that belongs together.",
    ),
    "DP-204": Explained(
        "A secret is not set here",
        "The settings name an environment variable or a file for a secret, and in this shell it is empty, absent, or "
        "not readable by this user. The settings themselves may be right.",
        "Run the command as the service's user with the service's environment, or put the secret where the key "
        "points. `dpsync status`, `report`, `dossier` and `verify` need no secrets.",
    ),
    "DP-205": Explained(
        "The database cannot be used just now",
        "PostgreSQL does not answer, is starting or stopping, or the disk is full. Nothing of what was asked was "
        "written; what was committed before stands. `dpsync serve` waits for it, answers 503 meanwhile, and goes on.",
        "Look at the database server and its log, and at the room on the disk; then try again.",
    ),
    "DP-206": Explained(
        "A package that this part needs is not installed",
        "dpsync was installed without an extra: `sandbox` (for `dpsync sandbox` and `dpsync demo`), `postgresql` (for "
        "a database at postgresql://) or `apprise` (for [alerts] urls). Everything else works without it.",
        "In the folder of dpsync's source: `pip install '.[sandbox]'`, or whichever is named, with the pip of the "
        "environment that dpsync runs in. `make install` brings all of them.",
    ),
    "DP-210": Explained(
        "Something on our side towards a processor is wrong",
        "A call to a processor or to the mail host failed for a reason that lies with this installation.",
        "`dpsync check` names the processor and the reason.",
    ),
    "DP-211": Explained(
        "A processor does not answer",
        "A read of the processor got no answer, or one that its documentation does not know.",
        "Look at its status page and at your own network. Requests are tried again for days by themselves.",
    ),
    "DP-212": Explained(
        "A processor rejects our credential",
        "It answered 401 or 403: the key is wrong, revoked, or lacks a right. Its account is stopped, and no "
        "request was charged an attempt.",
        "Make a new key at the processor, put it where the settings point, `dpsync check`, then "
        "`dpsync resume PROCESSOR`.",
    ),
    "DP-213": Explained(
        "A connector was asked for what it does not do",
        "A fault of dpsync: a right that a connector does not declare must go by notice.",
        "Report it, with the names of the connector and the right.",
    ),
    "DP-214": Explained(
        "Something before a processor answers in its place",
        "An answer came that is not the processor's own: a page, an empty body, a proxy's refusal, somebody else's "
        "JSON. A firewall, a proxy, a page to sign in to, or the processor's own gateway denies this machine's address "
        "or asks something of it. A single such answer may be a limit. Requests wait, none is charged with it, and "
        "they are tried on by themselves.",
        "See which address of this machine the processor sees, and call its interface from there by hand (`curl -i`). "
        "Have your network's administrator let it through, or ask the processor to unblock the address.",
    ),
    "DP-220": Explained(
        "One secret serves two accounts",
        "Two processors use the same secret but name different accounts. Each account is driven on its own, so "
        "together they would exceed the processor's limits and could overtake each other.",
        'Give both sections the same `account = "..."`, or each a secret of its own.',
    ),
    "DP-221": Explained(
        "Nothing is sent to a processor, because its account is stopped",
        "Somebody paused it, or it rejected our credential. Requests are accepted, their legal dates run, and nothing "
        "goes out until a person resumes it.",
        "Put right what is wrong (a new key: `dpsync check` must find it good), then `dpsync resume PROCESSOR`.",
    ),
    "DP-301": Explained(
        "Nobody would hear if the alerts failed",
        "There is no channel for alerts, or only one and no heartbeat: when it fails, it fails in silence.",
        "Add a second URL to [alerts] urls, or set [alerts] heartbeat to a watch service outside this machine, "
        "then `dpsync check --send-test`.",
    ),
    "DP-302": Explained(
        "A channel for alerts does not work",
        "Its server did not take the test, or dpsync does not know this kind of URL.",
        "Correct [alerts] urls or [mail], then `dpsync check --send-test`. Taken by a server is not read by a person: "
        "look into the inbox.",
    ),
    "DP-303": Explained(
        "The mail host does not take our mail",
        "It does not answer, does not offer TLS with a certificate that holds, refuses our password, or takes nothing "
        "from us: not from senders like bounce+TAG@ at our domain, not for other hosts, or not of this size. Notices "
        "to processors and questions to contacts wait, and no processor has refused anything.",
        "Correct [mail], or have the mail host take those senders and relay for us; `dpsync check --send-test` sends a "
        "mail from such a sender.",
    ),
    "DP-304": Explained(
        "What comes back by mail cannot be read",
        "The folder [mail] incoming is not there, or the service's user may not read, write and enter it. Bounces and "
        "replies stay unread.",
        "Make the folder, or correct its owner; `dpsync check` looks again. What lies there is read then.",
    ),
    "DP-320": Explained(
        "No public address is set",
        "Without [intake] public_url the mails hold no links: processors cannot answer by link and contacts cannot "
        "confirm themselves. Commands (`dpsync acknowledge`) still work.",
        "Set public_url to the https address under which processors reach this service.",
    ),
    "DP-321": Explained(
        "A webhook secret cannot be used",
        "A secret in [intake] secrets is not `whsec_` and the base64 of 24 to 64 bytes, is a placeholder that was left "
        "in, or stands there twice. With a malformed one `dpsync serve` does not start; with a known one anybody can "
        "ask for erasures.",
        "Make a new one, `printf whsec_; openssl rand -base64 32`, put it where the settings point, mode 0600, and "
        "give the same to the main database.",
    ),
    "DP-322": Explained(
        "Requests were refused at our door",
        "Your main database (or a processor, by its own webhook) sent what cannot become a request: a field that is "
        "missing or malformed, an event id that came before, a clock that is off. The sender heard a 4xx with the "
        "reason; where it sends once and forgets, somebody's request is lost while its legal dates run on.",
        "Look at the sender's log for the field that `dpsync check` names, correct what it sends, and have it sent "
        "again. Where that takes time, enter the request with `dpsync submit --received DATE`.",
    ),
    "DP-330": Explained(
        "A timed job has not run when it was due",
        "Reminders, checkpoints and alerts hang on the timed jobs, and these on a running `dpsync serve` (or a timer "
        "that calls `dpsync run-once`).",
        "Start the service. What was missed is made up for by itself.",
    ),
    "DP-331": Explained(
        "The clock does not fit what is stored",
        "It is behind the newest stored time, or far ahead of it, or not that of the database server. Legal dates and "
        "deadlines follow this clock.",
        "Put the clock right (`timedatectl`), and look at requests that came in under the wrong one. Where it is right "
        "and nothing ran for a quarter of a year, there is nothing to do.",
    ),
    "DP-340": Explained(
        "Private conversations are kept too long, or nobody looks",
        "Some should have been deleted at the processor by now and nobody says that they are; or for more than a month "
        "no export was checked, or nobody looked at the open ones. No interface of the processor can delete them.",
        "`dpsync retention show` lists them. Have the admin delete them there and answer by the link of the work list, "
        "or record it with `dpsync retention attest`; then `dpsync retention check` and `dpsync retention state-open`.",
    ),
    "DP-400": Explained(
        "What came in may not become a request",
        "The receiver, or a command, was given something that is no request.",
        "The message says what; for a webhook the sender was told as well.",
    ),
    "DP-401": Explained(
        "The signature is not good",
        "A webhook came without a valid signature under one of the secrets in [intake] secrets, or is too old.",
        "Compare the secret at the sender, and both clocks. The sender is told nothing but 401.",
    ),
    "DP-409": Explained(
        "This event came before with another body",
        "An event id is one event for ever. The first stands; nothing was changed.",
        "Use a new id for what is new. If a sender did this by itself, look at its log.",
    ),
    "DP-422": Explained(
        "A field of the request does not fit",
        "The named field is missing, unknown or not of the documented form. Its value is never repeated. Nothing was "
        "changed.",
        "Correct that field and send it again: the same id may be used, because nothing was accepted under it.",
    ),
    "DP-500": Explained(
        "A step that cannot be",
        "A fault of dpsync or a race: a propagation was to go from a state where no such way leads.",
        "Report it with the dossier of the request. The state was not changed.",
    ),
    "DP-600": Explained(
        "Something is wrong with the proof",
        "The ledger, a checkpoint or a receipt is not as it should be.",
        "`dpsync verify` names the place.",
    ),
    "DP-601": Explained(
        "The ledger does not verify",
        "The record in the database is not the one that was signed, or is older than a checkpoint kept outside: "
        "somebody changed it, or an old back-up was put back. Nothing more is sent or signed.",
        "Keep every copy as it is. `dpsync verify` names the place. Compare with the checkpoints that the data "
        "protection officer holds, and find out who did what before anything goes on.",
    ),
    "DP-602": Explained(
        "A checkpoint or receipt cannot be relied on",
        "It is not signed by the key that was expected, or not in the one spelling that the format allows.",
        "Ask for the file again, unchanged; compare the key with the one that the data protection officer was given.",
    ),
    "DP-603": Explained(
        "A row in the database is not what the ledger tells of",
        "The ledger is as it was signed, but a table beside it was written past dpsync: a request is shown as further, "
        "less far, earlier or later than anything on the record says, or is gone; or a decision, an answer, a letter "
        "or a call that is kept as its proof was changed, added or removed. Reports say so and may not be relied on.",
        "Keep a copy. `dpsync verify` names request, processor and column, `dpsync dossier REQUEST` what is on the "
        "record. Find out who wrote there; then put it back to what the ledger tells, or restore the database.",
    ),
    "DP-604": Explained(
        "What keeps the proof outside the database is damaged or missing",
        "A checkpoint in the anchor folder is empty, cut off, not as a key of this ledger signed it, or under another "
        "number than its own, or one that was written is not there any more; or the receipts folder or the journal of "
        "accepted requests is missing, is something else, cannot be written by this user, or a whole line of the "
        "journal does not open. That alone is no sign "
        "that anybody changed the ledger, but what it showed can no longer be seen. Nothing is made in its place.",
        "Is the disk mounted, is it full, whose is the folder? The message names the command that helps. Put a "
        "lost file back from its copy. Where it is lost for good, let the data protection "
        "officer compare the checkpoints that she holds; then rename what is damaged to a name that ends in "
        "`.gap`, or make an empty file of the name that the message gives. That goes on the record.",
    ),
    "DP-605": Explained(
        "Accepted requests are missing from the database",
        "The journal beside the checkpoints tells of requests that were answered 202, or of entries, that the database "
        "does not have: its newest writes were lost (a `-wal` file that was left behind or deleted, an older copy put "
        "back, a disk that lied). Nothing is sent, and no command writes, before a person has looked.",
        "Put the database and its `-wal` back together, or the newest back-up. Where they are gone for good: tell the "
        "data protection officer, rename `journal` to `journal.gap`, start, and have the main database send again all "
        "events since then under their old ids. See docs/operating.md, Restore.",
    ),
    "DP-700": Explained(
        "The demo's account and the sandbox's differ",
        "The demo counts at both ends. What dpsync says and what its sandbox saw are not the same, or the story did "
        "not end in time.",
        "Look into serve.log in the demo's folder, and report it with that file: it holds invented people only.",
    ),
}

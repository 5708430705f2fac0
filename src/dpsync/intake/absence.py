"""Whether a text says that somebody is away, and nothing else: each sentence of it is one that is known here. Pure.

One sentence that is not known leaves the text to a person: a refusal may stand in an absence, under any mark. A list of
words would have to foresee what people refuse with; this one foresees only how they are away.
"""

import re
from collections.abc import Iterable
from functools import cache

MOST = 2000
"""Signs of a text; a longer one says something of its own."""


def _any(*forms: str) -> str:
    return f"(?:{'|'.join(forms)})"


def _maybe(*forms: str) -> str:
    return f"(?:{'|'.join(forms)})?"


# --- days, addresses, numbers and the sender's own name are one sign each: {d}, {a}, {t}, {n}

_WEEKDAY = _any(
    "(?:mon|tues|wednes|thurs|fri|satur|sun)day",
    "(?:mon|tue|wed|thu|fri|sat|sun)",
    "(?:mon|diens|donners|frei|sams|sonn)tag",
    "mittwoch",
    "sonnabend",
)
_MONTH = _any(
    "jan(?:uary|uar)?", "feb(?:ruary|ruar)?", "mar(?:ch)?", "märz", "apr(?:il)?", "ma[yi]", "june?", "juni", "july?",
    "juli", "aug(?:ust)?", "sept?(?:ember)?", "o[ck]t(?:ober)?", "nov(?:ember)?", "de[cz](?:ember)?",
)  # fmt: skip
_DAY = r"(?:the )?[0-3]?[0-9](?:st|nd|rd|th|\.)?"
_YEAR = r"(?:,? 20[0-9]{2})?"
_ON = _any(
    rf"{_DAY} (?:of )?{_MONTH}\b{_YEAR}",
    rf"{_MONTH} {_DAY}(?![0-9]){_YEAR}",
    r"20[0-9]{2}-[0-9]{2}-[0-9]{2}",
    r"[0-3]?[0-9][./-] ?[0-3]?[0-9](?:\.(?![0-9])|[./-] ?(?:20)?[0-9]{2})?",
)
_AT = r"(?:,? (?:at |um )?(?:[0-2]?[0-9][:.][0-9]{2}(?: ?[ap]m| uhr)?|[0-9]{1,2} ?(?:[ap]m|uhr|h)))?"
_WHEN = (
    rf"(?<![\w+.:-])(?:(?:on )?(?:next )?{_WEEKDAY}(?:,? (?:the |dem |den )?{_ON})?|{_ON}"
    rf"|tomorrow|morgen|(?:early |late |mid-?)?next (?:week|month)|(?:the )?end of (?:the|next) (?:week|month)"
    rf"|(?:early |late |mid-)?{_MONTH}(?= 20| 2|[.,;]?$)(?: 20[0-9]{{2}})?){_AT}(?:,? (?:morning"
    rf"|afternoon))?(?![\w@])"
)
_MAIL = re.compile(r"(?:mailto:)?[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBER = re.compile(r"(?<![\w.])(?:\+|\(?0)[0-9 ()/-]{5,20}[0-9](?![\w.:]\w)")

# --- clauses: each says that somebody is away, since and until when, who helps meanwhile, or is mere courtesy

_SPAN = (
    r"(?: (?:today|this (?:morning|afternoon|week)|for (?:today|the (?:day|week)|the rest of the (?:day|week))))?"
    r"(?: (?:on|from|since|starting|between) {d}| {d})?"
    r"(?: ?(?:until|till|til|to|through|and|up to|-|–) (?:and including )?{d})?(?: inclusive| \(inclusive\)"
    r"| included)?"
)
_LEAVE = r"(?:annual |paid |parental |maternity |paternity |sick |extended |business )?"
_OUT = _any(
    "away(?: from (?:the office|my (?:office|desk|computer|e-?mails?)))?",
    "(?:out of|not in|away from) (?:the |my )?office(?: and away from my desk)?",
    rf"on (?:my |a |an )?{_LEAVE}(?:leave|holidays?|vacation|break|trip)",
    "absent|travell?ing|not at work|unavailable|not available|off sick|off work|out-of-office",
)
_NOW = r"(?:currently |presently |now |still |temporarily )?"
_AM = _any("(?:i|we)(?:'m|'re| am| are| will be|'ll be| have been)", "{n} is", "i am", "am", "is")
_GO = r"(?:(?:i|we|{n})(?: will| shall|'ll)? |will )?(?:be |am |is |are )?"
_MESSAGE = r"(?:e-?mails?|mails?|messages?|enquir(?:y|ies)|inquir(?:y|ies))"
_THEN = _any(
    "as soon as (?:possible|i can|i (?:return|am back|can))",
    "as quickly as possible|{d}",
    "(?:when|once|as soon as|after) i(?: return| am back| get back|'m back| have returned)(?: (?:to|in) (?:the "
    "|my )?office)?",
    "(?:up)?on my return|after my return|at my return|after {d}|on {d}|(?:up)?on my return(?: to the office)?"
    "(?: on)? {d}",
)
_TELL = r"(?:reply|respond|answer|get back|come back|write back)"
_REACH = _any(
    "contact", "call", "phone", "ring", "telephone", "write to", "e-?mail", "mail", "reach out to", "speak to"
)
_NAMED = r"(?-i:(?:(?:Mr|Mrs|Ms|Dr|Herrn?|Frau)\.? )?[A-ZÄÖÜ][\w'-]+(?: [A-ZÄÖÜ][\w'-]+){0,2})"
_REACHED = (
    r"(?:[ ,:]*[(<]?(?:(?:at|on|by|via|under|unter|per|phone|tel|telephone|mobile|e-?mail|mail|telefon|or"
    r"|oder)[.:]* ?)*"
    r"(?:{a}|{t})[)>]*)"
)
_SOMEBODY = _any(
    rf"(?:me|us|my (?:colleagues?|deputy|manager|assistant|team)|our (?:office|reception|team|switchboard)|{{n}})"
    rf"(?:,? {_NAMED}{_REACHED}+|{_REACHED}*)",
    rf"(?:{_NAMED})?{_REACHED}+",
    "(?:meine |meinen |mein )(?:kollegen?|kollegin(?:nen)?|vertretung|team)"
    rf"(?:,? {_NAMED}{_REACHED}+|{_REACHED}*)",
)
_URGENT = _any(
    r"(?:for|in)(?: case of| the case of| cases of)?(?: any| all| an| a)? (?:urgent|immediate|pressing|important)"
    r" (?:matters?|enquir(?:y|ies)|inquir(?:y|ies)|cases?|questions?|requests?|help|assistance|issues?|needs?)",
    rf"if (?:it is|it's|this is|the matter is|your (?:{_MESSAGE}|matter|request) is) urgent",
    "if you (?:need|require) (?:immediate|urgent) (?:help|assistance|attention)(?: (?:before|during|in) (?:then|{d}))?",
    "in (?:an|case of) emergency|in (?:urgent|emergency) cases|(?:in|during) my absence|meanwhile|in the meantime",
)
_URGENT_DE = _any(
    "(?:in|bei) (?:sehr )?(?:dringenden|dringlichen|eiligen|wichtigen) (?:fällen|angelegenheiten|anfragen"
    "|anliegen|fragen)",
    "in der zwischenzeit|während meiner abwesenheit|im notfall",
)
_SPAN_DE = (
    r"(?: (?:vom|von|ab|seit|zwischen)(?: dem)? {d})?"
    r"(?: ?(?:bis|-|–|und)(?: zum| einschließlich| einschl\.?| inklusive| inkl\.?| und mit)*(?: dem| den)? {d}"
    r"(?: \(?(?:einschließlich|inklusive)\)?)?)?"
)
_NOW_DE = r"(?: (?:derzeit|zurzeit|zur zeit|momentan|aktuell|leider|heute|im moment|gerade))*"
_OUT_DE = _any(
    "nicht (?:im (?:büro|haus|hause|dienst)|am (?:arbeitsplatz|platz)|erreichbar|da|anwesend|verfügbar)",
    "abwesend|(?:im|in) (?:urlaub|mutterschutz|elternzeit)|außer haus|auf (?:dienstreise|reisen)|krank",
)
_MAIL_DE = r"(?:e-?mails?|nachricht(?:en)?|mails?)"
_THEN_DE = _any(
    "nach meiner rückkehr", "so bald wie möglich", "sobald wie möglich", "schnellstmöglich", "ab dem {d}",
    "ab {d}", "dann",
    "sobald ich (?:zurück|wieder (?:da|im büro|zurück)) bin", "baldmöglichst", "umgehend nach meiner rückkehr",
)  # fmt: skip

_AWAY = _any(
    rf"{_AM} {_NOW}{_OUT}{_SPAN}",
    rf"out[ -]of[ -](?:the[ -])?office(?: reply| message| notification| notice)?{_SPAN}",
    rf"(?:{_NOW}away|on {_LEAVE}(?:leave|holidays?|vacation)|vacation(?: notice| reply)?|absence(?: notice)?){_SPAN}",
    rf"(?:ich bin|wir sind|{{n}} ist|bin){_NOW_DE}{_SPAN_DE}{_NOW_DE} {_OUT_DE}{_SPAN_DE}",
    rf"(?:abwesenheit(?:snotiz|smeldung|sagent)?|abwesend|(?:im )?urlaub|nicht im (?:büro|haus)){_SPAN_DE}",
    # As titles, of other languages: French, Spanish, Portuguese, Italian, Dutch, Polish, Czech, Danish, Swedish,
    # Finnish, Japanese. What else is said in them, a person reads.
    "absence(?: du bureau)?", "absente?(?: du bureau)?", "en (?:congés?|vacances)",
    "(?:estoy )?fuera de (?:la )?oficina",
    "(?:estoy )?de vacaciones", "ausente", "ausencia", "ausência", "(?:de )?férias", "fora do escritório",
    "(?:sono )?fuori (?:ufficio|sede)", "assente", "assenza", "(?:in )?ferie",
    "(?:ik ben )?(?:afwezig(?:heid)?|(?:met |op )?vakantie)",
    "nieobecność", "nieobecn[ya]", "(?:na )?urlopie?", "nepřítomnost", "dovolená", "fravær(?:ende)?", "på ferie",
    "frånvaro(?:meddelande)?", "(?:på )?semester", "poissa(?:olo)?", "lomalla", "不在(?:通知|です)?", "休暇(?:中)?",
)  # fmt: skip
_BESIDE = _any(
    # when somebody is back, and answers
    rf"{_GO}(?:back|return(?:ing)?|available again|reachable again)(?: (?:in|to|at))?(?: (?:the |my )?(?:office"
    rf"|work|desk))?"
    r"(?: again)?(?: (?:on|by|from|after|until))? {d}",
    "see you(?: on)? {d}",
    rf"(?:i |we )?(?:will|shall|'ll)? ?{_TELL}(?: to)?(?: you| it| all| your| my)?(?: {_MESSAGE})?"
    rf"(?: to you)? {_THEN}",
    rf"(?:i |we )?(?:will|shall|'ll)? ?(?:read|see|look at) (?:your|my|all|it)(?: {_MESSAGE})? {_THEN}",
    rf"i (?:will|may|might|can|am) ?(?:not|un)(?: be)?(?: able)?(?: to)? ?{_TELL}(?: to)?(?: you| your| my)?"
    rf"(?: {_MESSAGE})? "
    r"(?:until|before) (?:{d}|then|i return|i am back|my return)",
    r"(?:with|i(?: will| shall|'ll)?(?: only)? have|having|there is) (?:very |only )?(?:limited|no|little"
    r"|intermittent|irregular)"
    rf"(?: or no)? access to (?:my |the )?(?:{_MESSAGE}|mailbox|inbox)(?: (?:during|at) (?:this|that) time| {{d}})?",
    rf"(?:i |and )?(?:will|am|shall) not (?:be )?(?:checking|reading) (?:my )?{_MESSAGE}(?: regularly"
    rf"| during this time)?",
    rf"your {_MESSAGE} (?:will|is|are) (?:not )?(?:be |being )?(?:forwarded|redirected)(?: automatically)?",
    # who helps meanwhile
    rf"{_URGENT},? (?:please |kindly |you (?:can|may) )?{_REACH} {_SOMEBODY}",
    rf"(?:please |kindly )?{_REACH} {_SOMEBODY} {_URGENT}",
    # by machine, and by courtesy
    r"this is an? (?:automatic(?:ally generated)?|automated|auto)[ -](?:reply|response|message|e-?mail|notification)",
    r"automatic reply|auto(?:matic|mated)?[ -]?(?:reply|response)|automatische antwort",
    rf"(?:please )?do not reply to this {_MESSAGE}",
    rf"(?:many )?thank(?:s| you)(?: very much| so much)? for (?:your|the) {_MESSAGE}",
    "(?:i am |i'm |we are )?sorry for (?:any|the) (?:inconvenience|delay)|(?:i |we )?apologi[sz]e for (?:any"
    "|the) (?:inconvenience|delay)",
    "thank you for your (?:understanding|patience)",
    # the same in German
    r"(?:ab dem |ab |am )?{d} (?:bin ich|sind wir) wieder (?:im (?:büro|haus|dienst)|erreichbar|für sie (?:da"
    r"|erreichbar)|da|zurück)",
    r"(?:ich bin |wir sind |sie erreichen mich )?(?:wieder )?(?:ab dem |ab |am )?{d} wieder"
    r"(?: (?:im (?:büro|haus|dienst)|persönlich)?(?: ?(?:erreichbar|für sie da|da|zurück|anwesend))?)?",
    rf"(?:ihre|deine|eingehende) {_MAIL_DE} (?:wird|werden)(?: in dieser zeit| während meiner abwesenheit)? "
    r"(?:nicht|weder)(?: automatisch)? (?:weitergeleitet|gelesen)(?: (?:und|oder|noch)(?: nicht)? "
    r"(?:weitergeleitet|gelesen))?",
    rf"(?:ich werde |und werde )?(?:ihre|deine) {_MAIL_DE} (?:werde ich )?{_THEN_DE} (?:beantworten|lesen)",
    rf"(?:ich )?(?:melde mich|antworte(?: ihnen)?|werde mich|werde ihnen|beantworte ihre {_MAIL_DE})"
    rf"(?: bei ihnen)? {_THEN_DE}"
    r"(?: bei ihnen)?(?: melden| antworten)?",
    rf"{_URGENT_DE} (?:wenden sie sich|kontaktieren sie|erreichen sie|schreiben sie)(?: bitte)?(?: an)? {_SOMEBODY}",
    rf"bitte (?:wenden sie sich|kontaktieren sie) {_URGENT_DE}(?: an)? {_SOMEBODY}",
    rf"(?:vielen |herzlichen |besten )?dank für (?:ihre|deine) {_MAIL_DE}|(?:vielen "
    rf"|herzlichen )?dank für ihr verständnis",
    "(?:dies ist eine )?(?:automatische|automatisch erstellte|automatisch generierte) (?:antwort|nachricht|e-?mail)",
)  # fmt: skip
_HELLO = _any(
    "(?:hello|hi|hey|dear|good (?:day|morning|afternoon))(?: there| all| everyone| sender| colleagues?"
    "| sir or madam| sir/madam)?",
    "hallo(?: zusammen)?|guten tag|sehr geehrte damen und herren|liebe kolleg(?:innen|en)(?: und kollegen)?|moin",
)  # fmt: skip
_BYE = _any(
    r"(?:with )?(?:best|kind|warm|many|kindest|warmest)(?: (?:regards|wishes|thanks|greetings))?|regards|sincerely",
    "yours(?: sincerely| faithfully| truly)?|cheers|thanks|thank you|many thanks",
    "(?:mit )?(?:freundlichen|besten|herzlichen|vielen|viele|beste|herzliche|liebe) grüßen?|danke|vielen dank",
)
_PREAMBLE = r"this is a multi-part message in mime format|-- ?|{n}"
_SENTENCE = (
    rf"(?:{_HELLO}[,!]?(?: {{n}}[,!]?)? ?)?"
    rf"(?:(?:{_AWAY}|{_BESIDE})(?:(?:,|;| -| –)?(?: (?:and|but|und|aber|so|or))?,? (?:{_AWAY}|{_BESIDE}))*)?"
    rf"(?: ?{_BYE},?(?: ?{{n}})?)?|{_PREAMBLE}"
)
_IS_AWAY = rf"(?<!\w)(?:{_AWAY}|{_OUT_DE})(?!\w)"

# What a mail's subject repeats of ours, behind what answering programs put before it.
_OURS = re.compile(
    r"(?:(?:re|fwd?|aw|wg|sv|vs|tr|rv|antw|odp|r): ?)*(?:\[dps-[a-z0-9]+\] (?:rehearsal )?)?(?:reminder: "
    r"|no answer yet: )?"
    r"(?:(?:work list: )?private conversations to delete"
    r"|(?:(?:reminder: )?task[:,] )?(?:(?:erasure|rectification|restriction|opt-out) notice|restriction lifted)"
    r"(?: - please (?:confirm|help|do this by hand))?)?$"
)
_MACHINE = (
    r"(?:automatic reply|auto(?:matic|mated)?[ -]?(?:reply|response)?|automatische antwort|réponse automatique"
    r"|respuesta automática|resposta automática|risposta automatica|automatisch antwoord|autosvar|自動応答)"
)
_BEFORE_OURS = rf"^(?:{_MACHINE}|{_AWAY})(?: ?[:(-] ?| (?=[\[(]|re:)|$)"


@cache
def _read(form: str) -> re.Pattern[str]:
    """Compiled for the first mail: it takes a quarter of a second, which no command's start should wait for."""
    return re.compile(form, re.IGNORECASE)


def says_only_absence(subject: str, text: str, name: str = "") -> bool:
    """Whether a mail's subject and text say that somebody is away, and no sentence says more.

    `name`: as whom the sender signs; its words may stand under the text.
    """
    if len(text) > MOST or len(subject) > MOST:
        return False
    before, known = _subject(subject)
    sentences = list(_sentences(_signs(text)))
    if not known or not all(_is_known(one, name) for one in sentences):
        return False
    return any(_read(_IS_AWAY).search(one) for one in (before, *sentences))


def _subject(subject: str) -> tuple[str, bool]:
    """What stands before our own subject, and whether all of it is known."""
    text = " ".join(_signs(subject).split()).rstrip(".!").rstrip()
    rest, before = text, ""
    while rest and (found := _read(_BEFORE_OURS).match(rest)):
        before += f"{found[0]} "
        rest = rest[found.end() :].rstrip(")")
    return before, bool(_OURS.fullmatch(rest.lower()))


def _signs(text: str) -> str:
    """Days, addresses and telephone numbers as one sign each."""
    plain = re.sub(r"[ \t\u00a0\u202f]+", " ", text.replace("’", "'").replace("{", "(").replace("}", ")"))
    return _NUMBER.sub("{t}", _read(_WHEN).sub("{d}", _MAIL.sub("{a}", plain)))


def _is_known(sentence: str, name: str) -> bool:
    """Whether it is known as it stands, or with the sender's own name as one sign."""
    words = sorted(re.findall(r"[^\W\d_]{2,}", name), key=len, reverse=True)
    own = _any(*map(re.escape, words)) if words else "(?!)"
    named = re.sub(rf"(?<!\w){own}(?:[ ,.-]+{own})*(?!\w)", "{n}", sentence, flags=re.IGNORECASE)
    return any(_read(_SENTENCE).fullmatch(one) for one in (sentence, named))


def _sentences(text: str) -> Iterable[str]:
    for one in re.split(r"(?<=[.!?:])\s+|\n\s*\n", text):
        if said := " ".join(one.split()).rstrip(".!:, "):
            yield said

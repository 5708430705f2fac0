"""What an alert says where our own mail does not go: no processor has a part in it, and our operator hears."""

ABOUT_OUR_MAIL: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "mail_credential": (
        "operator",
        "Our own mail host gives us no access",
        (
            "DP-303: letters and alerts by email wait, and dpsync tries again. No processor's account is stopped. "
            "Correct [mail] password, or what is said below of [mail.oauth]. Restart, then check."
        ),
        ("dpsync check",),
    ),
    "mail_refused": (
        "operator",
        "Our own mail host does not accept our mail",
        (
            "DP-303: no processor has refused anything. Letters wait, and dpsync tries again. Make sure of three "
            "things: the mail host accepts envelope senders bounce+TAG at the domain in [mail] from (or set [mail] "
            "bounces), it relays for us, and it accepts mail of this size. Then check."
        ),
        ("dpsync check --send-test",),
    ),
    "mail_away": (
        "operator",
        "Our own mail host has taken no mail for an hour",
        (
            "DP-303: the mail host, or the server of its tokens, does not answer, or asks us to try later: what is "
            "named below. Letters and questions wait, and dpsync tries again every minute. Make sure that it is up, "
            "that no firewall is in between, and that [mail] host and port (or token_url in [mail.oauth]) are right. "
            "Then check."
        ),
        ("dpsync check",),
    ),
}
"""Role, subject, what to do, and the command to type, by cause: as `alert_texts.ALERTS`."""

ABOUT_US = frozenset(ABOUT_OUR_MAIL)
"""What no processor has a part in: each reason told once a day, however many letters wait for it."""

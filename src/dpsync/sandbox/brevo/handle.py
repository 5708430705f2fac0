"""The imitated Brevo as a test or a demo holds it in its hand."""

from dpsync.sandbox.brevo.api import Brevo
from dpsync.sandbox.brevo.filling import BrevoSection, SeedContact
from dpsync.sandbox.handle import Handle


class BrevoHandle(Handle[Brevo]):
    """Brevo; `act` takes the fields of PersonActs, `switch` those of BrevoSwitches."""

    def add(self, email: str, **more: object) -> None:
        """Adds one contact to the account "main", its lists made where they are new. `more`: fields of SeedContact."""
        seeded = SeedContact.model_validate({"email": email, **more})
        self.there(lambda vendor: vendor.fill(BrevoSection(contacts=(seeded,))))

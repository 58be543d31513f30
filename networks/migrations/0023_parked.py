"""Reservations whose VM is in the recycle bin."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("networks", "0022_who_had_the_name")]

    operations = [
        migrations.AddField(
            "reservation", "parked", models.BooleanField(default=False, editable=False)
        ),
    ]

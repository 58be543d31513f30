"""When a VM in the recycle bin goes for good."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vms", "0002_power"), ("networks", "0023_parked")]

    operations = [
        migrations.AddField(
            "vm",
            "goes_at",
            models.DateTimeField(null=True, editable=False, db_index=True),
        ),
    ]

"""Networks whose owners want to see what the firewall refuses."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("networks", "0024_bridged_networks")]

    operations = [
        migrations.AddField(
            model_name="network",
            name="logs_refused",
            field=models.BooleanField(
                default=False,
                help_text="Its host notes what the firewall refuses to and from its guests.",
            ),
        )
    ]

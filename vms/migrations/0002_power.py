"""Paused and saved VMs, fresh starts that are counted, and autostart."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vms", "0001_initial")]

    operations = [
        migrations.AlterField(
            "vm",
            "power",
            models.CharField(
                choices=[
                    ("on", "On"),
                    ("off", "Off"),
                    ("paused", "Paused"),
                    ("saved", "Saved to disk"),
                ],
                default="on",
                max_length=6,
            ),
        ),
        migrations.AddField(
            "vm",
            "boots",
            models.PositiveIntegerField(
                default=0, editable=False, help_text="How often a fresh start was asked for."
            ),
        ),
        migrations.AddField("vm", "boots_done", models.PositiveIntegerField(default=0, editable=False)),
        migrations.AddField(
            "vm",
            "autostart",
            models.BooleanField(
                default=True, help_text="Whether it comes back when its host was off."
            ),
        ),
    ]

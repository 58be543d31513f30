"""Networks on an interface of the host, whose guests have their addresses from outside."""

import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosts", "0004_ipv6"), ("networks", "0023_parked")]

    operations = [
        migrations.CreateModel(
            name="Attachment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("interface", models.CharField(max_length=15)),
                (
                    "kind",
                    models.CharField(
                        choices=[("bridge", "Bridge"), ("uplink", "Uplink, by macvtap")],
                        max_length=6,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "host",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attachments",
                        to="hosts.host",
                    ),
                ),
            ],
            options={"ordering": ["host", "interface"]},
        ),
        migrations.AddConstraint(
            model_name="attachment",
            constraint=models.UniqueConstraint(
                fields=("host", "interface"), name="attachment_once"
            ),
        ),
        migrations.AddField(
            model_name="network",
            name="attachment",
            field=models.ForeignKey(
                blank=True,
                help_text="The interface of the host that guests of a bridged network are on.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="networks",
                to="networks.attachment",
            ),
        ),
        migrations.AddField(
            model_name="network",
            name="guarded",
            field=models.BooleanField(
                default=True,
                help_text="Guests of a bridged network are closed but for what rules open.",
            ),
        ),
        migrations.AlterField(
            model_name="network",
            name="ipv4_subnet",
            field=models.CharField(blank=True, max_length=18),
        ),
        migrations.AlterField(
            model_name="network",
            name="mode",
            field=models.CharField(
                choices=[
                    ("nat", "NAT: reaches the outside, unreachable from it but for forwards"),
                    ("routed", "Routed: guests are seen and reached by their own addresses"),
                    ("isolated", "Isolated: guests reach each other only"),
                    ("bridged", "Bridged: guests are on an interface of the host itself"),
                ],
                default="nat",
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="reservation",
            name="address",
            field=models.GenericIPAddressField(blank=True, null=True, protocol="IPv4"),
        ),
    ]

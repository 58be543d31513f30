import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("networks", "0026_host_names_that_end"),
        ("projects", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Traffic",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("month", models.DateField(editable=False)),
                ("network", models.UUIDField(editable=False)),
                ("network_name", models.CharField(editable=False, max_length=63)),
                ("bytes_in", models.BigIntegerField(default=0, editable=False)),
                ("bytes_out", models.BigIntegerField(default=0, editable=False)),
                ("packets_in", models.BigIntegerField(default=0, editable=False)),
                ("packets_out", models.BigIntegerField(default=0, editable=False)),
                (
                    "project",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="traffic",
                        to="projects.project",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "traffic",
                "ordering": ["-month", "network_name", "pk"],
                "indexes": [
                    models.Index(fields=["project", "-month"], name="traffic_by_project")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("network", "month"), name="traffic_once_a_month"
                    )
                ],
            },
        ),
    ]

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("networks", "0012_bandwidth")]

    operations = [
        migrations.CreateModel(
            name='Lease',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.GenericIPAddressField(editable=False, protocol='IPv4')),
                ('hostname', models.CharField(blank=True, editable=False, max_length=255)),
                ('expires_at', models.DateTimeField(editable=False)),
                ('seen_at', models.DateTimeField(editable=False)),
                ('reservation', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='lease', to='networks.reservation')),
            ],
            options={
                'ordering': ['reservation__address'],
            },
        ),
    ]

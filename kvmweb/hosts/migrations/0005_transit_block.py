import kvmweb.hosts.models
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("hosts", "0004_ipv6")]

    operations = [
        migrations.AddField(
            model_name='host',
            name='transit_block',
            field=models.CharField(default='100.64.0.0/10', help_text='By subnets of this the host knows networks that have a router of their own. Nobody else may use it here. Networks that are there keep theirs.', max_length=18, validators=[kvmweb.hosts.models.refuse_no_block]),
        ),
    ]

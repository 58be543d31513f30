from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("networks", "0020_panel_names")]

    operations = [
        migrations.AddField(
            model_name='network',
            name='transit_subnet',
            field=models.CharField(blank=True, default='', editable=False, help_text='With a router of its own: the subnet by which its host knows it.', max_length=18),
        ),
        migrations.AddConstraint(
            model_name='network',
            constraint=models.UniqueConstraint(condition=models.Q(('transit_subnet', ''), _negated=True), fields=('host', 'transit_subnet'), name='transit_subnet_once'),
        ),
    ]

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("networks", "0011_services")]

    operations = [
        migrations.AddField(
            model_name='network',
            name='max_down_mbit',
            field=models.PositiveIntegerField(blank=True, help_text='Mbit/s', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100000)], verbose_name='download limit'),
        ),
        migrations.AddField(
            model_name='network',
            name='max_up_mbit',
            field=models.PositiveIntegerField(blank=True, help_text='Mbit/s', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100000)], verbose_name='upload limit'),
        ),
        migrations.AddField(
            model_name='reservation',
            name='max_down_mbit',
            field=models.PositiveIntegerField(blank=True, help_text='Mbit/s', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100000)], verbose_name='download limit'),
        ),
        migrations.AddField(
            model_name='reservation',
            name='max_up_mbit',
            field=models.PositiveIntegerField(blank=True, help_text='Mbit/s', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100000)], verbose_name='upload limit'),
        ),
    ]

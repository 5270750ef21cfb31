"""What each user cost in a day."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('finops', '0003_savings_ledger'),
    ]

    operations = [
        migrations.CreateModel(
            name='PricedUserDay',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'day', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('day', models.DateField()),
                ('summed', models.BigIntegerField()),
                ('priced_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='UserCostDay',
            fields=[
                ('project_id', models.IntegerField()),
                ('service', models.TextField()),
                ('kind', models.TextField()),
                ('provider', models.TextField()),
                ('model', models.TextField()),
                ('tier', models.TextField()),
                ('input_band', models.IntegerField()),
                ('currency', models.TextField()),
                ('spans', models.BigIntegerField()),
                ('priced_spans', models.BigIntegerField()),
                ('unpriced_spans', models.BigIntegerField(default=0, help_text='Usage known, no price.')),
                ('unknown_spans', models.BigIntegerField(default=0, help_text='Usage itself unknown.')),
                ('tokens', models.BigIntegerField(default=0)),
                ('unpriced_tokens', models.BigIntegerField(default=0)),
                ('input_cost', models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ('cache_cost', models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ('output_cost', models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ('other_cost', models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ('cost', models.DecimalField(decimal_places=20, default=0, max_digits=38)),
                ('pk', models.CompositePrimaryKey('project_id', 'day', 'user_id', 'service', 'kind', 'provider', 'model', 'tier', 'input_band', 'currency', blank=True, editable=False, primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('user_id', models.TextField()),
            ],
            options={
                'indexes': [models.Index(fields=['day'], name='user_cost_day_day'), models.Index(fields=['user_id', 'day'], name='user_cost_day_user')],
                'constraints': [models.CheckConstraint(condition=models.Q(('cost__isnull', True), models.Q(('cost__gt', -1000000000000), ('cost__lt', 1000000000000)), _connector='OR'), name='user_cost_day_cost_finite')],
            },
        ),
    ]

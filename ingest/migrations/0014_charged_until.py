"""Until when the charges of a day's bill lines reach: a local midnight is not where they end."""

from django.conf import settings
from django.db import migrations, models

FILL = """
UPDATE ingest_billday d SET charged_until = l.until
FROM (
    SELECT p.id AS period_id, (b.charge_period_start AT TIME ZONE %(zone)s)::date AS day,
        b.billing_currency, b.provider_name, b.service_category, b.service_name, b.sku_id,
        b.sub_account_name, b.region_id, b.charge_category,
        max(least(b.charge_period_end, b.charge_period_start + interval '1 day')) AS until
    FROM ingest_deliveryperiod p
    JOIN ingest_bill_line b ON b.source_id = p.source_id AND b.billing_month = p.billing_month
        AND b.period_id = p.id
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
) l
WHERE (d.period_id, d.day, d.currency, d.provider, d.service_category, d.service, d.sku,
        d.sub_account, d.region, d.charge_category)
    = (l.period_id, l.day, l.billing_currency, l.provider_name, l.service_category,
        l.service_name, l.sku_id, l.sub_account_name, l.region_id, l.charge_category)"""


def fill(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(FILL, {"zone": settings.ACCOUNTING_TIME_ZONE})


class Migration(migrations.Migration):
    dependencies = [("ingest", "0013_replays")]

    operations = [
        migrations.AddField(
            model_name="billday",
            name="charged_until",
            field=models.DateTimeField(
                null=True,
                help_text="The end of the newest charge that began on this day, within a day.",
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]

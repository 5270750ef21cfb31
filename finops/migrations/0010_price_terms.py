"""Contract terms, the regions one buys from, and what usage costs at list prices."""

import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("finops", "0009_allocation"),
        ("ingest", "0014_charged_until"),
    ]

    operations = [
        migrations.AddField(
            model_name="costday",
            name="list_cost",
            field=models.DecimalField(decimal_places=20, help_text="At list prices, before any discount. Null: unknown, as where a price is our own and no list has it, or when it was priced before list costs were kept.", max_digits=38, null=True),
        ),
        migrations.AddField(
            model_name="costquarter",
            name="list_cost",
            field=models.DecimalField(decimal_places=20, help_text="At list prices, before any discount. Null: unknown, as where a price is our own and no list has it, or when it was priced before list costs were kept.", max_digits=38, null=True),
        ),
        migrations.AddField(
            model_name="price",
            name="is_list_price",
            field=models.BooleanField(default=False, help_text="Of an own price: what is asked of everybody, so that discounts come off it."),
        ),
        migrations.AddField(
            model_name="price",
            name="region",
            field=models.CharField(blank=True, default="", help_text="Empty: everywhere. Own prices only.", max_length=60),
        ),
        migrations.AddField(
            model_name="usercostday",
            name="list_cost",
            field=models.DecimalField(decimal_places=20, help_text="At list prices, before any discount. Null: unknown, as where a price is our own and no list has it, or when it was priced before list costs were kept.", max_digits=38, null=True),
        ),
        migrations.AddConstraint(
            model_name="costquarter",
            constraint=models.CheckConstraint(condition=models.Q(("list_cost__isnull", True), models.Q(("list_cost__gt", -1000000000000), ("list_cost__lt", 1000000000000)), _connector="OR"), name="cost_quarter_list_cost_finite"),
        ),
        migrations.AddConstraint(
            model_name="costday",
            constraint=models.CheckConstraint(condition=models.Q(("list_cost__isnull", True), models.Q(("list_cost__gt", -1000000000000), ("list_cost__lt", 1000000000000)), _connector="OR"), name="cost_day_list_cost_finite"),
        ),
        migrations.AddConstraint(
            model_name="usercostday",
            constraint=models.CheckConstraint(condition=models.Q(("list_cost__isnull", True), models.Q(("list_cost__gt", -1000000000000), ("list_cost__lt", 1000000000000)), _connector="OR"), name="user_cost_day_list_cost_finite"),
        ),
        migrations.CreateModel(
            name="BuyingRegion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uid", models.UUIDField(default=uuid.uuid4, help_text="The same in every version that has it.")),
                ("since", models.PositiveIntegerField(help_text="Version that entered or changed it last.")),
                ("provider", models.CharField(help_text="As the book names it.", max_length=100)),
                ("valid_from", models.DateTimeField(blank=True, help_text="Empty: it always held.", null=True)),
                ("valid_to", models.DateTimeField(blank=True, help_text="Empty: until further notice.", null=True)),
                ("note", models.CharField(blank=True, max_length=200)),
                ("region", models.CharField(max_length=60)),
                ("book", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="regions", to="finops.pricebook")),
                ("project", models.ForeignKey(blank=True, help_text="Null: every project that has none of its own.", null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ingest.project")),
            ],
            options={
                "ordering": ["provider", "region", "valid_from", "uid"],
                "constraints": [models.UniqueConstraint(fields=("book", "uid"), name="buying_region_once"), models.CheckConstraint(condition=models.Q(("region", ""), _negated=True), name="buying_region_named"), models.CheckConstraint(condition=models.Q(("valid_from__isnull", True), ("valid_to__isnull", True), ("valid_from__lt", models.F("valid_to")), _connector="OR"), name="buying_region_range")],
            },
        ),
        migrations.CreateModel(
            name="PriceTerm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uid", models.UUIDField(default=uuid.uuid4, help_text="The same in every version that has it.")),
                ("since", models.PositiveIntegerField(help_text="Version that entered or changed it last.")),
                ("provider", models.CharField(help_text="As the book names it.", max_length=100)),
                ("valid_from", models.DateTimeField(blank=True, help_text="Empty: it always held.", null=True)),
                ("valid_to", models.DateTimeField(blank=True, help_text="Empty: until further notice.", null=True)),
                ("note", models.CharField(blank=True, max_length=200)),
                ("contract", models.CharField(help_text="Its number or name.", max_length=100)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("tier", models.CharField(blank=True, max_length=40)),
                ("region", models.CharField(blank=True, max_length=60)),
                ("unit", models.CharField(blank=True, max_length=20)),
                ("percent", models.DecimalField(blank=True, decimal_places=6, help_text="Off the list price; below 0 it is a surcharge.", max_digits=9, null=True)),
                ("amount", models.DecimalField(blank=True, decimal_places=20, help_text="Per 1M tokens, or per 1,000 requests.", max_digits=38, null=True)),
                ("currency", models.CharField(blank=True, max_length=20)),
                ("book", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="terms", to="finops.pricebook")),
                ("project", models.ForeignKey(blank=True, help_text="Null: every project that has none of its own.", null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ingest.project")),
            ],
            options={
                "ordering": ["provider", "model", "tier", "region", "unit", "valid_from", "uid"],
                "constraints": [models.CheckConstraint(condition=models.Q(("amount__isnull", True), models.Q(("amount__gt", -1000000000000), ("amount__lt", 1000000000000)), _connector="OR"), name="price_term_amount_finite"), models.CheckConstraint(condition=models.Q(("amount__isnull", True), ("amount__gte", 0), _connector="OR"), name="price_term_amount_not_negative"), models.UniqueConstraint(fields=("book", "uid"), name="price_term_once"), models.CheckConstraint(condition=models.Q(models.Q(("amount__isnull", True), ("currency", ""), ("percent__isnull", False)), models.Q(("amount__isnull", False), ("percent__isnull", True), models.Q(("currency", ""), _negated=True), models.Q(("unit", ""), _negated=True)), _connector="OR"), name="price_term_one_effect"), models.CheckConstraint(condition=models.Q(("percent__isnull", True), models.Q(("percent__gt", -100), ("percent__lte", 100)), _connector="OR"), name="price_term_percent"), models.CheckConstraint(condition=models.Q(("valid_from__isnull", True), ("valid_to__isnull", True), ("valid_from__lt", models.F("valid_to")), _connector="OR"), name="price_term_range")],
            },
        ),
    ]

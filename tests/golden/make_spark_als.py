"""tests/golden/spark_als: a model of Spark's ALS as ALSModel.save() writes it, and what Spark recommends by it. Run by make golden-spark,
in an environment with pyspark 3.5 and a Java.

    make_spark_als.py FOLDER"""
import json
import pathlib
import random
import shutil
import sys
import tempfile

from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

USERS = (1, 7, 24)


def main(folder):
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "1").getOrCreate()
    draw = random.Random(4)
    pairs = [(user, 100 + int(20 * draw.random() ** 2)) for user in range(1, 25) for _ in range(6)]
    ratings = spark.createDataFrame(pairs, ["user", "item"]).groupBy("user", "item").count().withColumnRenamed("count", "rating")
    model = ALS(rank=5, maxIter=4, regParam=.1, implicitPrefs=True, alpha=10., seed=3, numUserBlocks=2, numItemBlocks=2, userCol="user", itemCol="item", ratingCol="rating").fit(ratings)
    with tempfile.TemporaryDirectory() as saved:
        model.write().overwrite().save(saved)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(saved, folder, ignore=shutil.ignore_patterns("*.crc", "_SUCCESS"))
    asked = spark.createDataFrame([(user,) for user in USERS], ["user"])
    lists = {row.user: [[r.item, r.rating] for r in row.recommendations] for row in model.recommendForUserSubset(asked, 5).collect()}
    pathlib.Path(folder, "recommended.json").write_text(json.dumps(lists))


if __name__ == "__main__":
    main(*sys.argv[1:])

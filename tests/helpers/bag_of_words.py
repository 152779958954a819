"""What counting words gets on the built-in reviews: `python -m tests.helpers.bag_of_words`."""

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from jpqd.data.corpus import reviews


def accuracy(longest: int) -> float:
    """Logistic regression over counts of runs of up to `longest` words, on validation."""
    texts, labels = zip(*reviews("train"), strict=True)
    counter = CountVectorizer(ngram_range=(1, longest))
    model = LogisticRegression(max_iter=500).fit(counter.fit_transform(texts), labels)
    unseen, truth = zip(*reviews("validation"), strict=True)
    score: float = model.score(counter.transform(unseen), truth)
    return score


if __name__ == "__main__":
    for longest, name in ((1, "single words"), (2, "and pairs"), (3, "and triples")):
        print(f"{name}: {accuracy(longest):.3f}")  # noqa: T201

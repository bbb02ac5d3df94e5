"""The ClientApp: a student, who sends changed offsets of lecturers and keeps ratings and own offset private."""

from __future__ import annotations

from flwr.app import Context

from flskew import ClientError, client_app
from flskew.client import partition
from flskew.typing import Config, Parameters
from students.task import initial_parameters, load_ratings, load_student, squared_error, train


class Student:
    """A client with the few ratings of one student."""

    def __init__(self, context: Context) -> None:
        self.config = context.run_config
        _, self.assignment = load_ratings()
        partition_id, num_partitions = partition(context)
        if num_partitions != len(self.assignment):
            raise ClientError(f"num-supernodes must be {len(self.assignment)}, the number of students")
        self.training, self.test = load_student(partition_id, self.config)

    def fit(self, parameters: Parameters, config: Config) -> tuple[Parameters, int, dict[str, float]]:
        """Train the server's offsets of the lecturers that this student has rated."""
        train(parameters, self.training, self.config)
        return parameters, len(self.training.ratings), {}


class TestedStudent(Student):
    """A student who has enough ratings to hold some out."""

    def evaluate(self, parameters: Parameters, config: Config) -> tuple[float, int, dict[str, float]]:
        """Compare the server's model with what this student's own ratings alone predict."""
        together, alone = (
            squared_error(model, self.training, self.test, self.config) for model in (parameters, initial_parameters())
        )
        return together, len(self.test.ratings), {"together": together, "alone": alone}


def client_fn(context: Context) -> Student:
    """Return the student of this node; without `evaluate` if there is nothing to test on."""
    student = TestedStudent(context)
    return student if len(student.test.ratings) else Student(context)


app = client_app(client_fn)

"""The Flask server that [compat] takes the place of, written again from what its answers show.

EDITION says which: "S" is the one without e-mail, "S-mended" the same with its refresh mended, "M" the one with e-mail.
The rest comes from the environment too: DATABASE_URL, SECRET_KEY, ACCESS_SECONDS, REFRESH_SECONDS, MAIL_PORT, CLIENT (where the
pages of its client are, for the links in its mail).
The views under /test are not the server's: they show what the library makes of roles and of a blacklist.
"""

import os

import flask
import flask_cors
import flask_mail
import flask_praetorian
import flask_sqlalchemy
from flask_praetorian.exceptions import MissingToken

EDITION = os.environ["EDITION"]
CLIENT = os.environ.get("CLIENT", "https://client.test/#")

app = flask.Flask(__name__)
app.debug = True
app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]
app.config["JWT_ACCESS_LIFESPAN"] = {"seconds": int(os.environ.get("ACCESS_SECONDS", 24 * 3600))}
app.config["JWT_REFRESH_LIFESPAN"] = {"seconds": int(os.environ.get("REFRESH_SECONDS", 30 * 24 * 3600))}
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"].replace("postgres://", "postgresql://", 1)
app.config["SQLALCHEMY_TRACK_MODIFICATIONS"] = False
app.config["MAIL_SERVER"] = "127.0.0.1"
app.config["MAIL_PORT"] = int(os.environ.get("MAIL_PORT", 1))
app.config["MAIL_USE_SSL"] = True
app.config["MAIL_USERNAME"] = "mailer@server.test"
app.config["MAIL_PASSWORD"] = "mail password"
app.config["PRAETORIAN_CONFIRMATION_SENDER"] = ("JWT Server", "mailer@server.test")
app.config["PRAETORIAN_CONFIRMATION_URI"] = CLIENT + "/finalize"
app.config["PRAETORIAN_CONFIRMATION_SUBJECT"] = "Confirm"
app.config["PRAETORIAN_RESET_SENDER"] = ("JWT Server", "mailer@server.test")
app.config["PRAETORIAN_RESET_URI"] = CLIENT + "/reset_finalize"
app.config["PRAETORIAN_RESET_SUBJECT"] = "Reset"

database = flask_sqlalchemy.SQLAlchemy(app)
guard = flask_praetorian.Praetorian()
flask_cors.CORS(app)


class User(database.Model):
    __tablename__ = "users"

    id = database.Column(database.Integer, primary_key=True)
    username = database.Column(database.Text)
    password = database.Column(database.Text)
    roles = database.Column(database.Text)
    is_active = database.Column(database.Boolean, default=True, server_default="true")
    if EDITION == "M":
        email = database.Column(database.Text, unique=True, nullable=False)

    @property
    def rolenames(self):
        try:
            return self.roles.split(",")
        except Exception:
            return []

    @property
    def identity(self):
        return self.id

    @classmethod
    def lookup(cls, name):
        wanted = {"email": name} if EDITION == "M" else {"username": name}
        return cls.query.filter_by(**wanted).one_or_none()

    @classmethod
    def identify(cls, id):
        return cls.query.get(id)

    def is_valid(self):
        return self.is_active


guard.init_app(app, User, is_blacklisted=lambda jti: jti.startswith("blacklisted"))
mail = flask_mail.Mail(app)


@app.route("/api/")
def home():
    return {"JWT Server Application": "Running!"}, 200


@app.route("/api/protected")
@flask_praetorian.auth_required
def protected():
    return {"message": f"protected endpoint (allowed usr {flask_praetorian.current_user().username})"}


@app.route("/api/refresh", methods=["POST"])
def refresh():
    # The server asks the class and not the request: a TypeError each time.
    source = flask.request if EDITION != "S" else flask.Request
    return {"access_token": guard.refresh_jwt_token(source.get_data())}, 200


if EDITION != "M":

    @app.route("/api/login", methods=["POST"])
    def login():
        body = flask.request.get_json(force=True)
        user = guard.authenticate(body.get("username", None), body.get("password", None))
        return {"access_token": guard.encode_jwt_token(user)}, 200

    @app.route("/api/registration", methods=["POST"])
    def registration():
        body = flask.request.get_json(force=True)
        name, password = body.get("username", None), body.get("password", None)
        if User.query.filter_by(username=name).count() < 1:
            database.session.add(User(username=name, password=guard.hash_password(password), roles="user"))
            database.session.commit()
        user = guard.authenticate(name, password)
        return {"access_token": guard.encode_jwt_token(user)}, 200


if EDITION == "M":

    @app.route("/api/login", methods=["POST"])
    def login():
        body = flask.request.get_json(force=True)
        name, password = body.get("username", None), body.get("password", None)
        user = User.query.filter_by(username=name).one_or_none()
        if user is not None and guard._verify_password(password, user.password):
            return {"access_token": guard.encode_jwt_token(user)}, 200
        return {"access_token": ""}, 401

    @app.route("/api/registration", methods=["POST"])
    def registration():
        body = flask.request.get_json(force=True)
        name, password, email = (body.get(member, None) for member in ("username", "password", "email"))
        if User.query.filter_by(username=name).count() > 0:
            return {"message": f"user {name} already exists on DB!"}, 409
        if User.query.filter_by(email=email).count() > 0:
            return {"message": f"email {email} already exists on DB!"}, 303
        user = User(
            username=name, password=guard.hash_password(password), email=email, roles="user", is_active=False
        )
        database.session.add(user)
        database.session.commit()
        guard.send_registration_email(email, user=user)
        return {"message": f"successfully sent registration email to user {name}"}, 201

    @app.route("/api/finalize", methods=["GET"])
    def finalize():
        user = guard.get_user_from_registration_token(guard.read_token_from_header())
        user.is_active = True
        database.session.commit()
        return {"access_token": guard.encode_jwt_token(user), "user": user.username}, 200

    @app.route("/api/reset", methods=["POST"])
    def reset():
        email = flask.request.get_json(force=True).get("email", None)
        user = User.lookup(email)
        if user is None:
            return {"message": f"email {email} doest not exists on DB!"}, 404
        if not user.is_active:
            return {"message": f"{email} account not activated! active it first!"}, 403
        guard.send_reset_email(email)
        return {"message": f"successfully sent password reset email to {email}"}, 200

    @app.route("/api/reset_finalize", methods=["POST"])
    def reset_finalize():
        token = guard.read_token_from_header()
        try:
            user = guard.validate_reset_token(token)
            user.password = guard.hash_password(flask.request.get_json(force=True).get("password", None))
            database.session.commit()
            return {"access_token": guard.encode_jwt_token(user), "user": user.username}, 200
        except Exception as error:
            # A set, which nothing makes JSON of.
            return {"Error resetting user password by token:", str(error)}, 500


@app.route("/test/required")
@flask_praetorian.roles_required("admin", "ops")
def required():
    return {"roles": sorted(flask_praetorian.current_rolenames())}


@app.route("/test/accepted")
@flask_praetorian.roles_accepted("admin", "ops")
def accepted():
    return {"roles": sorted(flask_praetorian.current_rolenames())}


@app.route("/test/accepted/none")
@flask_praetorian.roles_accepted()
def accepted_none():
    return {}


@app.route("/test/open")
@flask_praetorian.auth_accepted
def open_to_all():
    try:
        return {"name": flask_praetorian.current_user().username}
    except (MissingToken, flask_praetorian.exceptions.PraetorianError):
        return {"name": None}
